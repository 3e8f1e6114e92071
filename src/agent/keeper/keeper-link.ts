import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { deferred } from '../../base/deferred.js';
import { JsonSocket } from '../../base/json-socket.js';
import { shortPath } from '../../base/short-path.js';
import {
  type FromKeeper,
  KEEPER_SOCKET,
  type KeeperHello,
  type KeeperWelcome,
  type ToKeeper,
} from './messages.js';

/** One connection to a keeper. */
export class KeeperLink {
  onMessage: (message: FromKeeper) => void = () => {};
  private readonly welcomed = deferred<KeeperWelcome>();
  private welcome: KeeperWelcome | undefined;

  private readonly socket: JsonSocket;

  constructor(socket: Socket) {
    this.socket = new JsonSocket(socket, (message) => this.receive(message as FromKeeper));
  }

  /** Of the keeper's program. */
  get version(): string {
    return this.welcome?.version ?? '';
  }

  get closed(): Promise<void> {
    return this.socket.closed;
  }

  /** Begins; undefined when the keeper closes instead of answering. */
  async greet(hello: KeeperHello): Promise<KeeperWelcome | undefined> {
    this.send(hello);
    this.welcome = await Promise.race([this.welcomed.promise, this.closed.then(() => undefined)]);
    return this.welcome;
  }

  send(message: ToKeeper): void {
    this.socket.send(message);
  }

  close(): void {
    this.socket.close();
  }

  private receive(message: FromKeeper): void {
    this.onMessage(message);
    if (message.type === 'welcome') this.welcomed.resolve(message);
  }
}

/** Connects to the keeper of a state directory; undefined when nobody listens there. */
export async function dialKeeper(stateDir: string): Promise<KeeperLink | undefined> {
  using short = shortPath(join(stateDir, KEEPER_SOCKET));
  const socket = connect(short.path);
  try {
    await once(socket, 'connect');
    return new KeeperLink(socket);
  } catch {
    socket.destroy();
    return undefined;
  }
}
