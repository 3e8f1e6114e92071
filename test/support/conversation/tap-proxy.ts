import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

/** What a {@link TapProxy} does with its first connection. */
export interface Tap {
  /** Resets it after so many bytes from the server. Default: never. */
  readonly cutDownAfter?: number;
}

/** A TCP proxy that records what clients send, and can cut its first connection at an exact byte of the server's. */
export class TapProxy {
  /** Bytes from clients so far. */
  up = Buffer.alloc(0);
  /** Bytes from the server so far. */
  down = Buffer.alloc(0);
  /** Whether it has cut its first connection. */
  hasCut = false;
  private connections = 0;
  readonly #sockets = new Set<Socket>();

  private constructor(
    private readonly server: Server,
    private readonly target: number,
    private readonly tap: Tap,
  ) {}

  /** Listens on 127.0.0.1 for connections to another port there. */
  static async listen(targetPort: number, tap: Tap = {}): Promise<TapProxy> {
    const server = createServer({ noDelay: true });
    const proxy = new TapProxy(server, targetPort, tap);
    server.on('connection', (socket) => proxy.join(socket));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return proxy;
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.server.close();
    await once(this.server, 'close');
  }

  private join(client: Socket): void {
    this.connections += 1;
    const left = this.connections === 1 ? (this.tap.cutDownAfter ?? Number.POSITIVE_INFINITY) : undefined;
    const server = connect({ port: this.target, host: '127.0.0.1', noDelay: true });
    for (const [socket, other] of [
      [client, server],
      [server, client],
    ] as const) {
      this.#sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => {
        this.#sockets.delete(socket);
        other.destroy();
      });
    }
    client.on('data', (data) => {
      this.up = Buffer.concat([this.up, data]);
      server.write(data);
    });
    this.carryDown(server, client, left ?? Number.POSITIVE_INFINITY);
  }

  private carryDown(server: Socket, client: Socket, limit: number): void {
    let left = limit;
    const cut = () => {
      this.hasCut = true;
      server.resetAndDestroy();
      client.end();
    };
    if (left === 0) client.once('data', cut);
    server.on('data', (data) => {
      if (left <= 0) return;
      this.down = Buffer.concat([this.down, data.subarray(0, left)]);
      client.write(data.subarray(0, left));
      left -= data.length;
      if (left <= 0) cut();
    });
  }
}
