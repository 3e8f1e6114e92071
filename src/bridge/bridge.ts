import type { IncomingMessage, ServerResponse } from 'node:http';
import type { DescMethod, FileRegistry, JsonValue } from '@bufbuild/protobuf';
import type { Logger } from '../base/logger.js';
import { HubError } from '../model/hub-error.js';
import type { Caller } from '../security/caller.js';
import type { Backend } from './backend.js';
import { type Binding, readBindings, readDescriptors } from './bindings.js';
import type { CallContext } from './call-context.js';
import { handleBidi, handleClientStream } from './client-stream.js';
import type { ExtraRoute } from './extra-route.js';
import { GatewayError } from './gateway-error.js';
import { grpcTimeoutMs, metadataFromHeaders } from './metadata-in.js';
import type { HeaderList } from './metadata-out.js';
import { EscapeError } from './percent.js';
import { setsFields } from './pretty.js';
import { parseTarget, unescapePath } from './request-target.js';
import { type ResponseStyle, respondError } from './respond.js';
import { type Route, Router } from './router.js';
import { type Routed, Routing } from './routing.js';
import { handleServerStream } from './server-stream.js';
import type { SocketContext } from './socket-call.js';
import { type DeclaredCursor, readCursors, type StreamCursor } from './stream-cursor.js';
import { parseTemplate } from './template.js';
import { handleUnary } from './unary.js';
import type { UnescapingMode } from './unescaping.js';
import { type WebSocketLimits, WebSockets } from './web-sockets.js';

/** Options of {@link createBridge}. What is left out behaves like a stock grpc-gateway. */
export interface BridgeOptions {
  /** A serialized FileDescriptorSet with `google.api.http` options. */
  readonly descriptors: Uint8Array;
  /** The gRPC server; the bridge closes it with itself. `dial` makes one of an address. */
  readonly backend: Backend;
  readonly log: Logger;
  /** Largest request body in bytes. Default 8 MiB. */
  readonly bodyLimit?: number;
  /** Adds `"error": message` to errors, for clients of the first system. Default false. */
  readonly legacyErrorField?: boolean;
  /** Adds google.rpc.BadRequest details to errors about a body. Default false. */
  readonly fieldViolations?: boolean;
  /**
   * Refuses JSON fields that a message does not have, naming them all: always, or for requests with
   * `Content-Type: application/json+strict`. Default false: they are ignored, as in grpc-gateway.
   */
  readonly rejectUnknownFields?: boolean | 'on-request';
  /** HTTP status of a path that is known for other methods only. Default 501, as grpc-gateway. */
  readonly methodNotAllowed?: 405 | 501;
  /** Whether form posts may stand for other methods (`X-HTTP-Method-Override`). Default true. */
  readonly methodOverride?: boolean;
  /** What of a path is unescaped where. Default `legacy`. */
  readonly unescaping?: UnescapingMode;
  /** Serves methods without a rule as `POST /pkg.Service/Method`. Default false. */
  readonly unboundMethods?: boolean;
  /** How deep the JSON of a body may be nested. Default 32. */
  readonly maxJsonDepth?: number;
  /** Hands on metadata that gRPC itself sends, such as its content type, as grpc-gateway does. Default false. */
  readonly transportHeaders?: boolean;
  /** Headers that are handed on under their own names, beside those of grpc-gateway. Default none. */
  readonly forwardedHeaders?: readonly string[];
  /** Cursors of streams whose protos do not declare one (`vmagent.v1.stream_cursor`). Default none. */
  readonly streamCursors?: readonly DeclaredCursor[];
  /**
   * Streaming routes answer WebSocket handshakes, once a server hands them on (`upgrades` of `listenHttp`). Default:
   * they do not, as in grpc-gateway, which takes a handshake for any other request.
   */
  readonly webSockets?: WebSocketLimits;
  /** Headers of every answer. Default none. */
  readonly headers?: HeaderList;
  /** May rewrite the JSON of a body before it is decoded. */
  readonly prepareBody?: (binding: Binding, json: JsonValue) => JsonValue;
  /** For whom a request is made, when something in front of the bridge has found it out. */
  readonly caller?: (req: IncomingMessage) => Caller | undefined;
  /** Routes beside the protos; they win over those of the protos. */
  readonly extraRoutes?: readonly ExtraRoute[];
}

/** Answers a request; never throws. */
export type RequestHandler = (req: IncomingMessage, res: ServerResponse) => void;

/** A running bridge. */
export interface Bridge {
  /** Answers a request. Mount it once, on the whole path: it reads the raw `req.url`. */
  readonly handler: RequestHandler;
  /** What answers a request, when a route has its path and method. It may stand before anything slower. */
  readonly find: (req: IncomingMessage) => RequestHandler | undefined;
  /** All bindings in the order of their declaration. */
  readonly bindings: readonly Binding[];
  readonly registry: FileRegistry;
  /** How this bridge writes answers, for parts in front of it that refuse requests. */
  readonly style: ResponseStyle;
  /** Streaming routes as WebSockets, when they were asked for. */
  readonly webSockets: WebSockets | undefined;
  /** Closes the backend. */
  close(): void;
}

/** Largest request body unless set otherwise. */
const DEFAULT_BODY_LIMIT = 8 * 1024 * 1024;

type Target = { readonly binding: Binding } | { readonly extra: ExtraRoute };

/**
 * Makes an HTTP/JSON bridge to the gRPC methods of a set of descriptors, compatible with grpc-gateway.
 *
 * @throws Error for descriptors whose HTTP rules are wrong.
 */
export function createBridge(options: BridgeOptions): Bridge {
  return new DescriptorBridge(options);
}

class DescriptorBridge implements Bridge {
  readonly registry: FileRegistry;
  readonly bindings: readonly Binding[];
  readonly style: ResponseStyle;
  readonly webSockets: WebSockets | undefined;
  private readonly cursors: ReadonlyMap<DescMethod, StreamCursor>;
  private readonly routing: Routing<Target>;

  constructor(private readonly options: BridgeOptions) {
    const { legacyErrorField = false, headers = [], extraRoutes = [] } = options;
    this.registry = readDescriptors(options.descriptors);
    this.cursors = readCursors(this.registry, options.streamCursors);
    const routes = readBindings(this.registry, options.unboundMethods);
    this.bindings = routes.map((route) => route.target);
    this.style = {
      ...{ registry: this.registry, legacyErrorField, headers },
      transportHeaders: options.transportHeaders ?? false,
    };
    const { unescaping, methodOverride = true, methodNotAllowed = 501 } = options;
    if (options.webSockets !== undefined) this.webSockets = this.openWebSockets(routes, options.webSockets);
    const extra = extraRoutes.map(
      (route): Route<Target> => ({
        method: route.method,
        template: parseTemplate(route.path),
        target: { extra: route },
      }),
    );
    this.routing = new Routing<Target>(
      [...routes.map((route) => ({ ...route, target: { binding: route.target } })), ...extra],
      { unescaping, methodOverride, methodNotAllowed },
    );
  }

  readonly handler = (req: IncomingMessage, res: ServerResponse): void => {
    void this.answer(req, res).catch((err: unknown) => this.fail(req, res, err));
  };

  readonly find = (req: IncomingMessage): RequestHandler | undefined => {
    const found = this.routed(req);
    if (found === undefined) return undefined;
    return (_req, res) => void this.run(found, req, res).catch((err: unknown) => this.fail(req, res, err));
  };

  private routed(req: IncomingMessage): Routed<Target> | undefined {
    try {
      return this.routing.find(req);
    } catch {
      return undefined;
    }
  }

  close(): void {
    this.webSockets?.close();
    this.options.backend.close();
  }

  private openWebSockets(routes: readonly Route<Binding>[], limits: WebSocketLimits): WebSockets {
    const streams = routes.filter(({ target }) => target.method.methodKind !== 'unary');
    const router = new Router(
      streams.map((route) => ({ ...route, method: 'GET' })),
      this.options.unescaping,
    );
    const find = (req: IncomingMessage) => {
      const { path, query } = parseTarget(req.url ?? '/');
      const match = path.startsWith('/') ? findPath(router, path) : undefined;
      if (match?.kind !== 'found') return undefined;
      return () => this.context(match.target, req, { params: match.params, query, standsIn: false });
    };
    const frameLimit = limits.frameLimit ?? this.options.bodyLimit ?? DEFAULT_BODY_LIMIT;
    return new WebSockets({ ...limits, frameLimit, style: this.style, find });
  }

  private async answer(req: IncomingMessage, res: ServerResponse): Promise<void> {
    if (req.url === '*' && req.method === 'OPTIONS') {
      res.writeHead(200, { 'Content-Length': 0 }).end();
      return;
    }
    await this.run(this.routing.find(req), req, res);
  }

  private async run(found: Routed<Target>, req: IncomingMessage, res: ServerResponse): Promise<void> {
    const { target, params, query, standsIn } = found;
    if ('extra' in target) await this.runExtra(target.extra, req, res, params, query);
    else await this.call(target.binding, req, res, { params, query, standsIn });
  }

  private async call(
    binding: Binding,
    req: IncomingMessage,
    res: ServerResponse,
    parts: CallContext['parts'],
  ): Promise<void> {
    await HANDLERS[binding.method.methodKind]({ ...this.context(binding, req, parts), res });
  }

  private context(binding: Binding, req: IncomingMessage, parts: CallContext['parts']): SocketContext {
    const { rejectUnknownFields = false, fieldViolations = false, prepareBody } = this.options;
    setsFields(req, binding.method.input);
    const timeoutMs = grpcTimeoutMs(req);
    const metadata = metadataFromHeaders(req, this.options.forwardedHeaders);
    return {
      req,
      backend: this.options.backend,
      binding,
      cursor: this.cursors.get(binding.method),
      metadata,
      options: {
        deadline: timeoutMs === undefined ? undefined : new Date(Date.now() + timeoutMs),
        caller: this.options.caller?.(req),
      },
      parts,
      build: {
        registry: this.registry,
        rejectUnknownFields:
          rejectUnknownFields === true || (rejectUnknownFields === 'on-request' && asksStrict(req)),
        fieldViolations,
        maxDepth: this.options.maxJsonDepth,
        prepareBody,
      },
      style: this.style,
      bodyLimit: this.options.bodyLimit ?? DEFAULT_BODY_LIMIT,
    };
  }

  private async runExtra(
    extra: ExtraRoute,
    req: IncomingMessage,
    res: ServerResponse,
    params: ReadonlyMap<string, string>,
    query: string,
  ): Promise<void> {
    const { backend, caller } = this.options;
    const { style } = this;
    const metadata = () => metadataFromHeaders(req, this.options.forwardedHeaders);
    const options = { caller: caller?.(req) };
    await extra.handle({ req, res, params, query, metadata, backend, options, style });
  }

  /** A stock gateway has nothing of a hub in its errors. */
  private known(err: unknown): unknown {
    if (this.options.fieldViolations === true || err instanceof GatewayError || err instanceof HubError)
      return err;
    return new GatewayError(13, 'internal error; the log of the gateway has the details', { cause: err });
  }

  private fail(req: IncomingMessage, res: ServerResponse, err: unknown): void {
    if (err instanceof EscapeError) {
      refuseEscape(res);
      return;
    }
    const isGone = req.destroyed && !req.complete;
    if (!isGone && GatewayError.from(err).code === 13 && !(err instanceof GatewayError)) {
      this.options.log.error('HTTP request failed', { method: req.method, error: err });
    }
    if (res.headersSent) res.destroy();
    else respondError(req, res, this.style, this.known(err));
  }
}

const HANDLERS: Readonly<Record<Binding['method']['methodKind'], (ctx: CallContext) => Promise<void>>> = {
  unary: handleUnary,
  server_streaming: handleServerStream,
  client_streaming: handleClientStream,
  bidi_streaming: handleBidi,
};

function asksStrict(req: IncomingMessage): boolean {
  return /^application\/json\+strict\s*(;|$)/i.test(req.headers['content-type'] ?? '');
}

/** What a router says to a path; undefined when its escapes are broken. */
function findPath<T>(router: Router<T>, path: string) {
  try {
    return router.match('GET', unescapePath(path));
  } catch {
    return undefined;
  }
}

/** Go's net/http refuses a broken escape before any handler sees it. */
function refuseEscape(res: ServerResponse): void {
  res.writeHead(400, { 'Content-Type': 'text/plain; charset=utf-8', Connection: 'close' });
  res.end('400 Bad Request');
}
