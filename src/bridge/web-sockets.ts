import { type IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { type WebSocket, WebSocketServer } from 'ws';
import { HubError } from '../model/hub-error.js';
import { GatewayError } from './gateway-error.js';
import { hangUp } from './linger.js';
import { type ResponseStyle, respondError } from './respond.js';
import { runSocketCall, type SocketContext } from './socket-call.js';
import { CLOSE } from './socket-writer.js';
import { readSubprotocols, SUBPROTOCOL } from './subprotocol.js';
import type { Upgrades } from './upgrades.js';

/** Settings of WebSockets that people may change. */
export interface WebSocketLimits {
  /** Largest frame of a client in bytes. Default: the largest body. */
  readonly frameLimit?: number;
  /** How often clients are asked whether they are there; who has not answered by the next time is cut. Default 30000. */
  readonly pingMs?: number;
}

/** What {@link WebSockets} are made of. */
export interface WebSocketOptions extends WebSocketLimits {
  readonly style: ResponseStyle;
  readonly frameLimit: number;
  /** What the call of a request is; undefined when no streaming route has its path. May throw later, in the call. */
  readonly find: (req: IncomingMessage) => (() => SocketContext) | undefined;
}

/** Decides whether a request may open a WebSocket. @throws what it is refused with. */
export type Admission = (req: IncomingMessage) => Promise<unknown>;

/**
 * Streaming routes as WebSockets, one call a connection. A handshake is a GET, so a route is found by its path
 * alone, whatever its own method is.
 */
export class WebSockets {
  private readonly server: WebSocketServer;
  private readonly alive = new WeakSet<WebSocket>();
  private readonly timer: NodeJS.Timeout;
  private stopping = false;

  constructor(private readonly options: WebSocketOptions) {
    this.server = new WebSocketServer({
      noServer: true,
      maxPayload: options.frameLimit,
      perMessageDeflate: false,
      handleProtocols: (offered) => (offered.has(SUBPROTOCOL) ? SUBPROTOCOL : false),
    });
    this.server.on('wsClientError', (err, socket, req) =>
      refuse(req, socket, options.style, GatewayError.badRequest(err.message)),
    );
    this.timer = setInterval(() => this.ping(), options.pingMs ?? 30_000);
    this.timer.unref();
  }

  /** Upgrades for a server whose callers are looked at by `admit` first. */
  upgrades(admit: Admission = async () => {}): Upgrades {
    return {
      take: (req, socket, head) => this.take(req, socket, head, admit),
      close: () => this.close(),
    };
  }

  /** Closes all connections with 1001. */
  close(): void {
    this.stopping = true;
    clearInterval(this.timer);
    for (const socket of this.server.clients) {
      socket.resume();
      socket.close(CLOSE.stopping, 'the server stops; connect again later');
    }
  }

  private take(req: IncomingMessage, socket: Duplex, head: Buffer, admit: Admission): boolean {
    if (req.headers.upgrade?.toLowerCase() !== 'websocket' || req.method !== 'GET') return false;
    const find = this.find(req);
    if (find === undefined) return false;
    const ignore = () => {};
    socket.on('error', ignore);
    const open = async () => {
      if (this.stopping) throw new HubError('HUB_STOPPING', 'the server stops; connect again later');
      readSubprotocols(req);
      await admit(req);
      const ctx = find();
      this.server.handleUpgrade(req, socket, head, (client) => {
        socket.off('error', ignore);
        this.run(ctx, client);
      });
    };
    open().catch((err: unknown) => refuse(req, socket, this.options.style, err));
    return true;
  }

  /** A path that cannot be read is for the ordinary answer to refuse. */
  private find(req: IncomingMessage): (() => SocketContext) | undefined {
    try {
      return this.options.find(req);
    } catch {
      return undefined;
    }
  }

  private run(ctx: SocketContext, client: WebSocket): void {
    this.alive.add(client);
    client.on('pong', () => this.alive.add(client));
    client.on('message', () => this.alive.add(client));
    client.on('error', () => {});
    void runSocketCall(ctx, client);
  }

  private ping(): void {
    for (const client of this.server.clients) {
      // Of a client that is made to wait nothing is read, its pongs neither. Where nobody is left, the ping is
      // refused by the system.
      if (client.isPaused || this.alive.delete(client)) client.ping();
      else client.terminate();
    }
  }
}

/** Answers a handshake that is refused as any other request. */
function refuse(req: IncomingMessage, socket: Duplex, style: ResponseStyle, err: unknown): void {
  const res = new ServerResponse(req);
  res.shouldKeepAlive = false;
  res.assignSocket(socket as Parameters<ServerResponse['assignSocket']>[0]);
  res.once('finish', () => hangUp(socket));
  respondError(req, res, style, err);
}
