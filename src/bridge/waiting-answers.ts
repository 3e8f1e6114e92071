import type { ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';

/**
 * Requests of one connection that may wait for their answers, as many as calls on a connection of gRPC. Each is read
 * and called at once, although it can be answered only behind those before it.
 */
const MOST_WAITING = 1000;

/** The answers of each connection that are not finished. */
export class WaitingAnswers {
  private readonly bySocket = new WeakMap<Duplex, Set<ServerResponse>>();

  /** Those of a connection, in the order of their requests. */
  of(socket: Duplex): readonly ServerResponse[] {
    return [...(this.bySocket.get(socket) ?? [])];
  }

  /** False when the connection has more of them than any client needs; then it is cut. */
  add(res: ServerResponse): boolean {
    const { socket } = res.req;
    const waiting = this.bySocket.get(socket) ?? this.begin(socket);
    if (waiting.size >= MOST_WAITING) {
      socket.destroy();
      return false;
    }
    waiting.add(res);
    res.once('close', () => waiting.delete(res));
    return true;
  }

  private begin(socket: Duplex): Set<ServerResponse> {
    const waiting = new Set<ServerResponse>();
    this.bySocket.set(socket, waiting);
    socket.once('close', () => {
      for (const res of waiting) if (res.socket === null) closeUnsent(res);
    });
    return waiting;
  }
}

/** Node.js tells of a lost connection only the answer whose turn it was; those behind it would wait for ever. */
function closeUnsent(res: ServerResponse): void {
  res.destroy();
  res.emit('close');
}
