import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { Wakeups } from '../../src/base/wakeups.js';

/** From the client to the server, or back. */
export type Direction = 'up' | 'down';

/** What becomes of bytes on their way. */
export type Way =
  /** They go on. */
  | { readonly kind: 'pass' }
  /** They stay where they are until the way changes, as when a cable is out: TCP loses nothing by it. */
  | { readonly kind: 'drop'; readonly direction?: Direction }
  /** Each piece goes on this much later. */
  | { readonly kind: 'delay'; readonly ms: number }
  /** At most this many bytes a second, a few at a time. */
  | { readonly kind: 'slow'; readonly bytesPerSecond: number }
  /** In pieces of this many bytes, each a packet of its own. */
  | { readonly kind: 'split'; readonly bytes: number };

const PASS: Way = { kind: 'pass' };
/** Pieces of a slow way. */
const SLOW_STEP_MS = 50;

/** A TCP proxy on a port of its own whose way can be made worse at any time. */
export class TcpProxy {
  #way: Way = PASS;
  readonly #changed = new Wakeups();
  readonly #pairs = new Set<readonly [Socket, Socket]>();

  private constructor(
    private readonly server: Server,
    private readonly target: number,
  ) {}

  /** Listens on 127.0.0.1 for connections to another port there. */
  static async listen(targetPort: number): Promise<TcpProxy> {
    const server = createServer({ allowHalfOpen: true });
    const proxy = new TcpProxy(server, targetPort);
    server.on('connection', (socket) => proxy.join(socket));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return proxy;
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  /** How many connections are open. */
  get connections(): number {
    return this.#pairs.size;
  }

  /** From now on, also for connections that are open. */
  setWay(way: Way): void {
    this.#way = way;
    this.#changed.notify();
  }

  heal(): void {
    this.setWay(PASS);
  }

  /** Breaks every connection. What is on its way is lost. */
  cut(): void {
    for (const pair of this.#pairs) for (const socket of pair) socket.resetAndDestroy();
  }

  /** Ends one direction of every connection; the other goes on. */
  halfClose(direction: Direction): void {
    for (const [client, server] of this.#pairs) (direction === 'up' ? server : client).end();
  }

  async close(): Promise<void> {
    this.heal();
    this.cut();
    this.server.close();
    await once(this.server, 'close');
  }

  private join(client: Socket): void {
    const server = connect({ port: this.target, host: '127.0.0.1', allowHalfOpen: true });
    const pair = [client, server] as const;
    this.#pairs.add(pair);
    for (const socket of pair) {
      socket.setNoDelay(true);
      socket.on('error', () => {});
      socket.on('close', () => {
        this.#pairs.delete(pair);
        for (const other of pair) other.destroy();
        this.#changed.notify();
      });
    }
    void this.carry('up', client, server);
    void this.carry('down', server, client);
  }

  private async carry(direction: Direction, from: Socket, to: Socket): Promise<void> {
    try {
      for await (const chunk of from.iterator({ destroyOnReturn: false }))
        await this.pass(direction, chunk, to);
      await this.open(direction, to);
      if (!to.destroyed) to.end();
    } catch {
      // A broken connection is what this is for.
      to.destroy();
    }
  }

  private async pass(direction: Direction, chunk: Buffer, to: Socket): Promise<void> {
    for (let rest = chunk; rest.length > 0; ) {
      await this.open(direction, to);
      if (to.destroyed || to.writableEnded) return;
      const way = this.#way;
      const size = sizeOf(way, rest.length);
      if (way.kind === 'delay') await sleep(way.ms);
      if (way.kind === 'slow') await sleep(SLOW_STEP_MS);
      if (way.kind === 'delay') await this.open(direction, to);
      if (to.destroyed || to.writableEnded) return;
      if (!to.write(rest.subarray(0, size))) await Promise.race([once(to, 'drain'), once(to, 'close')]);
      if (way.kind === 'split') await new Promise(setImmediate);
      rest = rest.subarray(size);
    }
  }

  /** Resolves when bytes may go in a direction. */
  private async open(direction: Direction, to: Socket): Promise<void> {
    const shut = () => this.#way.kind === 'drop' && (this.#way.direction ?? direction) === direction;
    while (shut() && !to.destroyed) {
      await new Promise<void>((resolve) => {
        const listening = this.#changed.listen(() => {
          listening[Symbol.dispose]();
          resolve();
        });
      });
    }
  }
}

function sizeOf(way: Way, available: number): number {
  if (way.kind === 'slow') return Math.max(1, Math.round((way.bytesPerSecond * SLOW_STEP_MS) / 1000));
  return way.kind === 'split' ? way.bytes : available;
}
