import { chmod } from 'node:fs/promises';
import { createServer, type Socket, type Server as SocketServer } from 'node:net';
import { type ConnectionInjector, Server, ServerCredentials, type ServerOptions } from '@grpc/grpc-js';
import { isErrno } from '../base/errno.js';
import type { Logger } from '../base/logger.js';
import { type Connection, connectionOf, type UidLookup } from '../security/connection.js';
import { addressInUse, type ListenAddress, parseListenAddress, prepareSocketPath } from './listen-address.js';
import { LiveCalls } from './live-calls.js';

/** Options of a {@link Door}. */
export interface DoorOptions {
  readonly log: Logger;
  /** Longest message that is taken, in bytes. */
  readonly maxReceiveBytes: number;
  /** Calls that one connection may have open. */
  readonly maxStreams: number;
  /** Connections that may be open. Default 10000. */
  readonly maxConnections?: number;
  /** How long a connection may take to speak HTTP/2, in milliseconds. Default 5000. */
  readonly helloTimeoutMs?: number;
  /** How the user at the other end is found out. Default: the kernel's tables. */
  readonly uidLookup?: UidLookup;
}

/** Bytes of the HTTP/2 preface with an empty SETTINGS frame: what every client sends first. */
const HELLO_BYTES = 24 + 9;

/**
 * A gRPC server that accepts its connections itself, so that it knows each of them: who is at the other end is
 * found out once a connection, their number is limited, and one that says nothing is closed.
 *
 * Invariants: a live TCP connection has a remote address of its own, by which calls find it; nothing is accepted
 * after `close` began.
 */
export class Door {
  /** Services are added here before `listen`. */
  readonly server: Server;
  /** The calls that are being answered. */
  readonly calls = new LiveCalls();
  private readonly injector: ConnectionInjector;
  private readonly listeners: SocketServer[] = [];
  private readonly sockets = new Set<Socket>();
  private readonly byPeer = new Map<string, Connection>();
  private closing: Promise<void> | undefined;

  constructor(private readonly options: DoorOptions) {
    this.server = new Server(channelOptions(options));
    this.injector = this.server.createConnectionInjector(ServerCredentials.createInsecure());
  }

  /** What is known of the connection that a call came on, by `getPeer()`; undefined when it is gone or not TCP. */
  readonly connectionOf = (peer: string): Connection | undefined => this.byPeer.get(peer);

  /** How many connections are open. */
  get connections(): number {
    return this.sockets.size;
  }

  /**
   * Listens at one more address (`HOST:PORT`, `unix:/path`) and answers the port (0 for a unix socket).
   *
   * @throws HubError ADDRESS_IN_USE, INVALID_FIELD.
   */
  async listen(address: string): Promise<number> {
    const where = parseListenAddress(address);
    if ('path' in where) await prepareSocketPath(where.path);
    const listener = createServer({ noDelay: true }, (socket) => this.accept(socket));
    await startListening(listener, where, address);
    this.listeners.push(listener);
    if ('path' in where) await chmod(where.path, 0o600);
    listener.on('error', (error) => this.options.log.error('a listener failed', { address, error }));
    const bound = listener.address();
    return bound !== null && typeof bound === 'object' ? bound.port : 0;
  }

  /** Accepts nothing more, ends the calls, and closes all connections after `graceMs` at the latest. */
  close(options: { readonly graceMs: number }): Promise<void> {
    this.closing ??= this.shutDown(options.graceMs);
    return this.closing;
  }

  private async shutDown(graceMs: number): Promise<void> {
    const closed = this.listeners.map(
      (listener) => new Promise<void>((done) => listener.close(() => done())),
    );
    this.calls.stop();
    await this.endSessions(graceMs);
    this.server.forceShutdown();
    for (const socket of this.sockets) socket.destroy();
    await Promise.all(closed);
  }

  private endSessions(graceMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, graceMs);
      this.server.tryShutdown(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  }

  private accept(socket: Socket): void {
    const { maxConnections = 10_000, log } = this.options;
    socket.on('error', (error) => log.debug('a connection failed', { error }));
    const peer = peerOf(socket);
    if (this.closing !== undefined || this.sockets.size >= maxConnections || this.byPeer.has(peer)) {
      log.warn('a connection was refused', { open: this.sockets.size });
      socket.destroy();
      return;
    }
    this.sockets.add(socket);
    const connection = connectionOf(socket, this.options.uidLookup);
    if (connection.ends !== undefined) this.byPeer.set(peer, connection);
    const timer = this.expectHello(socket);
    socket.once('close', () => {
      clearTimeout(timer);
      this.sockets.delete(socket);
      if (this.byPeer.get(peer) === connection) this.byPeer.delete(peer);
    });
    this.injector.injectConnection(socket);
  }

  private expectHello(socket: Socket): NodeJS.Timeout {
    const check = () => {
      if (socket.bytesRead < HELLO_BYTES) socket.destroy();
    };
    return setTimeout(check, this.options.helloTimeoutMs ?? 5000).unref();
  }
}

/** As grpc-js writes it in `getPeer()`. */
function peerOf(socket: Socket): string {
  return `${socket.remoteAddress}:${socket.remotePort}`;
}

function channelOptions(options: DoorOptions): ServerOptions {
  return {
    'grpc.enable_channelz': 0,
    'grpc.max_receive_message_length': options.maxReceiveBytes,
    'grpc.max_send_message_length': -1,
    'grpc.max_concurrent_streams': options.maxStreams,
    'grpc.keepalive_time_ms': 8000,
    'grpc.keepalive_timeout_ms': 4000,
    'grpc.keepalive_permit_without_calls': 1,
  };
}

function startListening(listener: SocketServer, where: ListenAddress, address: string): Promise<void> {
  return new Promise((resolve, reject) => {
    listener.once('error', (err) => reject(isErrno(err, 'EADDRINUSE') ? addressInUse(address) : err));
    listener.listen(where, () => {
      listener.removeAllListeners('error');
      resolve();
    });
  });
}
