import type { IncomingMessage, ServerResponse } from 'node:http';
import type { HeaderList } from './metadata-out.js';

type Handler = (req: IncomingMessage, res: ServerResponse) => void;

const METHODS = 'GET, HEAD, POST, PUT, PATCH, DELETE';
/** How long a browser may keep the answer to a preflight, in seconds. */
const MAX_AGE = '600';
/** What pages may send: the headers that mean something here. */
const HEADERS =
  /^(accept|authorization|cache-control|content-type|grpc-metadata-[\w-]+|grpc-timeout|idempotency-key|if-match|if-none-match|last-event-id|range|x-request-id)$/;
/** What pages may read besides what browsers always show them. */
const EXPOSED =
  /^(grpc-metadata-.*|accept-ranges|allow|content-disposition|content-range|location|retry-after|www-authenticate)$/i;

/**
 * Lets pages of some foreign origins read answers (CORS). Origins are exact; cookies and the like are never sent for,
 * so a page has what its own token allows and nothing more.
 *
 * @param origins such as `https://ops.example`.
 */
export function allowOrigins(
  origins: readonly string[],
): (req: IncomingMessage, res: ServerResponse, next: () => void) => void {
  const allowed = new Set(origins);
  return (req, res, next) => {
    const { origin } = req.headers;
    res.setHeader('Vary', 'Origin');
    if (origin === undefined || !allowed.has(origin)) {
      next();
      return;
    }
    res.setHeader('Access-Control-Allow-Origin', origin);
    if (isPreflight(req)) answerPreflight(req, res);
    else next();
  };
}

/** A handler behind {@link allowOrigins}; the handler itself when there are no origins. */
export function withOrigins(origins: readonly string[], handler: Handler): Handler {
  if (origins.length === 0) return handler;
  const cors = allowOrigins(origins);
  return (req, res) => cors(req, res, () => handler(req, res));
}

/**
 * Whether a request was sent by no page, by a page of the server itself (also behind a proxy that speaks TLS), or by
 * one of these origins. WebSockets need this: browsers let every page open them and read what comes.
 */
export function isOfPages(req: IncomingMessage, origins: readonly string[]): boolean {
  const { origin, host } = req.headers;
  return origin === undefined || [`http://${host}`, `https://${host}`, ...origins].includes(origin);
}

/** The header that lets an allowed page read those of an answer; undefined for all other answers. */
export function exposedHeaders(res: ServerResponse, headers: HeaderList): string | undefined {
  if (!res.hasHeader('Access-Control-Allow-Origin')) return undefined;
  const names = headers.map(([name]) => name);
  const exposed = [...new Set(names.filter((name) => EXPOSED.test(name)))];
  return exposed.length === 0 ? undefined : exposed.join(', ');
}

function isPreflight(req: IncomingMessage): boolean {
  return req.method === 'OPTIONS' && req.headers['access-control-request-method'] !== undefined;
}

function answerPreflight(req: IncomingMessage, res: ServerResponse): void {
  const wanted = (req.headers['access-control-request-headers'] ?? '').split(',').map((name) => name.trim());
  const headers = wanted.filter((name) => HEADERS.test(name.toLowerCase()));
  res.setHeader('Vary', 'Origin, Access-Control-Request-Method, Access-Control-Request-Headers');
  res.setHeader('Access-Control-Allow-Methods', METHODS);
  if (headers.length > 0) res.setHeader('Access-Control-Allow-Headers', headers.join(', '));
  if (req.headers['access-control-request-private-network'] === 'true')
    res.setHeader('Access-Control-Allow-Private-Network', 'true');
  res.setHeader('Access-Control-Max-Age', MAX_AGE);
  res.writeHead(204).end();
}
