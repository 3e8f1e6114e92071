import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { type ClientOptions, WebSocket } from 'ws';

/** A WebSocket client that keeps what it is told. */
export class SocketClient {
  readonly frames: string[] = [];
  readonly closed: Promise<{ readonly code: number; readonly reason: string }>;
  private wake: () => void = () => {};

  private constructor(readonly socket: WebSocket) {
    socket.on('message', (data) => {
      this.frames.push(String(data));
      this.wake();
    });
    this.closed = new Promise((resolve) => {
      socket.once('close', (code, reason) => {
        resolve({ code, reason: String(reason) });
        this.wake();
      });
    });
  }

  /** Connects. @throws Refused when the handshake is answered otherwise. */
  static async open(
    port: number,
    path: string,
    options: ClientOptions & { protocols?: string[] } = {},
  ): Promise<SocketClient> {
    const { protocols = [], ...rest } = options;
    const socket = new WebSocket(`ws://127.0.0.1:${port}${path}`, protocols, rest);
    const client = new SocketClient(socket);
    const refused = new Promise<IncomingMessage>((resolve) => {
      socket.once('unexpected-response', (_req, res) => resolve(res));
    });
    const answer = await Promise.race([once(socket, 'open'), refused]);
    if (Array.isArray(answer)) return client;
    let text = '';
    for await (const chunk of answer) text += chunk;
    throw new Refused(answer.statusCode ?? 0, text);
  }

  /** Sends values as JSON, one a frame. */
  send(...values: unknown[]): void {
    for (const value of values) this.socket.send(JSON.stringify(value));
  }

  /** Says that no more values come. */
  half(): void {
    this.socket.send('');
  }

  /** The frames, once there are so many or the connection is closed. */
  async first(count: number): Promise<unknown[]> {
    while (this.frames.length < count && this.socket.readyState !== WebSocket.CLOSED) {
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
    }
    return this.frames.slice(0, count).map((frame) => JSON.parse(frame));
  }
}

/** A handshake that was answered with another status than 101. */
export class Refused extends Error {
  constructor(
    readonly status: number,
    readonly text: string,
  ) {
    super(`the handshake was answered with ${status}: ${text}`);
  }
}

/** What a handshake is refused with. */
export async function refusal(opening: Promise<SocketClient>): Promise<Refused> {
  try {
    (await opening).socket.terminate();
  } catch (err) {
    if (err instanceof Refused) return err;
    throw err;
  }
  throw new Error('the handshake was accepted');
}
