import type { IncomingMessage } from 'node:http';
import { GatewayError } from './gateway-error.js';
import type { HeaderList } from './metadata-out.js';
import { parseQuery } from './query.js';
import { parseTarget, type RequestPath, unescapePath } from './request-target.js';
import { type Match, type Route, Router } from './router.js';
import type { UnescapingMode } from './unescaping.js';

/** Options of {@link Routing}. */
export interface RoutingOptions {
  readonly unescaping?: UnescapingMode | undefined;
  /** Whether form posts may stand for other methods. */
  readonly methodOverride: boolean;
  /** HTTP status of a path that is known for other methods only. */
  readonly methodNotAllowed: 405 | 501;
}

/** A request with its route. */
export interface Routed<T> extends Match<T> {
  /** Without the question mark. */
  readonly query: string;
  /** Whether the form of the body is the request: it stands for another method. */
  readonly standsIn: boolean;
}

/** Finds routes of requests by grpc-gateway's rules. */
export class Routing<T> {
  private readonly router: Router<T>;

  /** @param routes in the order of their declaration. */
  constructor(
    routes: readonly Route<T>[],
    private readonly options: RoutingOptions,
  ) {
    this.router = new Router(routes, options.unescaping);
  }

  /**
   * The route of a request.
   *
   * @throws GatewayError when there is none, EscapeError for a path whose escapes are broken.
   */
  find(req: IncomingMessage): Routed<T> {
    const { path, query } = parseTarget(req.url ?? '/');
    if (countOf(req, 'host') > 1) throw GatewayError.badRequest('more than one Host header');
    const plain = unescapePath(path);
    if (!plain.plain.startsWith('/')) throw GatewayError.badRequest('Bad Request');
    const mayStandIn = this.mayStandIn(req);
    const override = mayStandIn ? headerOf(req, 'x-http-method-override') : '';
    if (override !== '') parseQuery(query);
    const method = override === '' ? (req.method ?? 'GET') : override.toUpperCase();
    const found = this.router.match(method, plain);
    if (found.kind === 'found') return { ...found, query, standsIn: override !== '' };
    if (found.kind === 'not-found') throw new GatewayError(5, 'Not Found');
    if (mayStandIn && method === 'POST' && found.get !== undefined) {
      return { ...found.get, query, standsIn: true };
    }
    throw this.notAllowed(plain);
  }

  private notAllowed(path: RequestPath): GatewayError {
    const http = this.options.methodNotAllowed;
    const headers: HeaderList = http === 405 ? [['Allow', this.router.methodsOf(path).join(', ')]] : [];
    return new GatewayError(12, 'Method Not Allowed', { http, headers });
  }

  private mayStandIn(req: IncomingMessage): boolean {
    if (!this.options.methodOverride || req.method !== 'POST') return false;
    return headerOf(req, 'content-type') === 'application/x-www-form-urlencoded';
  }
}

function countOf(req: IncomingMessage, name: string): number {
  return req.rawHeaders.filter((key, i) => i % 2 === 0 && key.toLowerCase() === name).length;
}

/** The first value of a header; empty when there is none. */
function headerOf(req: IncomingMessage, name: string): string {
  const at = req.rawHeaders.findIndex((key, i) => i % 2 === 0 && key.toLowerCase() === name);
  return at < 0 ? '' : (req.rawHeaders[at + 1] ?? '').trim();
}
