import type { IncomingMessage, ServerResponse } from 'node:http';
import { HubError } from '../model/hub-error.js';
import type { Caller } from '../security/caller.js';
import type { RequestFacts } from '../security/caller-rule.js';
import { connectionOf } from '../security/connection.js';
import { bearerToken } from '../security/secret.js';
import { hasBody } from './body.js';
import { isOfPages } from './cors.js';
import { type ResponseStyle, respondError } from './respond.js';

/** Options of a {@link HttpGuard}. */
export interface HttpGuardOptions {
  /** Says who calls, or refuses. Asked once a request has passed the guard's own checks. */
  readonly authorize: (facts: RequestFacts) => Promise<Caller>;
  /** Host names that requests without a token may name. Default `localhost`, `127.0.0.1`, `[::1]`. */
  readonly hosts?: readonly string[];
  /** Foreign origins whose pages may call, with a token, such as `https://ops.example`. Default none. */
  readonly origins?: readonly string[];
  /** Paths that need no credentials beyond these checks. Default {@link OPEN_PATHS}. */
  readonly openPaths?: readonly string[];
}

/** What may be read without credentials: it tells nothing about tasks. */
export const OPEN_PATHS: readonly string[] = [
  '/health',
  '/healthz',
  '/readyz',
  '/metrics',
  '/version',
  '/openapi.json',
];

/** Who a request to an open path counts as. */
const ANONYMOUS: Caller = { name: 'anonymous', role: 'viewer' };

const DEFAULT_HOSTS = ['localhost', '127.0.0.1', '[::1]'];
const PROXY_HEADER = /^(forwarded|via|x-forwarded-.*|x-real-ip)$/;
const SAME_SITE = ['same-origin', 'none'];

/** A step before a handler, as Express takes it. */
export type Middleware = (req: IncomingMessage, res: ServerResponse, next: () => void) => void;

const callers = new WeakMap<IncomingMessage, Caller>();

/** Who sent a request that a guard has let through. */
export function callerOf(req: IncomingMessage): Caller | undefined {
  return callers.get(req);
}

/**
 * Decides which HTTP requests are answered at all. A request with a bearer token is the business of `authorize`
 * alone. One without a token could be sent by any web page that a browser of this machine has open, by a
 * rebound name, or through a proxy: it must name this machine as its host, come from no foreign page, through
 * no proxy, and have a JSON body, which no page can send without asking first.
 */
export class HttpGuard {
  constructor(private readonly options: HttpGuardOptions) {}

  /** Express middleware: refuses, or lets through with {@link callerOf} set. */
  middleware(style: ResponseStyle): Middleware {
    return middlewareOf(style, (req) => this.check(req));
  }

  /** Express middleware for files that hold no data: checks the host alone, so that links from elsewhere work. */
  hostMiddleware(style: ResponseStyle): Middleware {
    return middlewareOf(style, async (req) => this.checkHosts(req));
  }

  /** @throws HubError that says why the request is refused. */
  async check(req: IncomingMessage): Promise<Caller> {
    const { authorization } = req.headers;
    refuseTokenInUrl(req.url ?? '');
    // Any other scheme counts as no token: a page of a rebound name could send one.
    if (!bearerToken(authorization)) this.checkWithoutToken(req);
    const caller = await this.authorize(req, authorization);
    callers.set(req, caller);
    return caller;
  }

  /**
   * As {@link check}, for a WebSocket: browsers let any page open one, so a page of a foreign origin must be allowed
   * even when it has a token.
   *
   * @throws HubError that says why the request is refused.
   */
  async checkUpgrade(req: IncomingMessage): Promise<Caller> {
    if (!isOfPages(req, this.options.origins ?? []))
      throw originRefused(`WebSockets of pages at ${req.headers.origin} are not allowed`, NOT_LISTED);
    return this.check(req);
  }

  private async authorize(req: IncomingMessage, authorization: string | undefined): Promise<Caller> {
    const path = (req.url ?? '').split('?')[0] ?? '';
    const isOpen = (req.method === 'GET' || req.method === 'HEAD') && this.openPaths.includes(path);
    if (isOpen && authorization === undefined) return ANONYMOUS;
    return this.options.authorize({ authorization, connection: connectionOf(req.socket) });
  }

  private get openPaths(): readonly string[] {
    return this.options.openPaths ?? OPEN_PATHS;
  }

  private checkWithoutToken(req: IncomingMessage): void {
    this.checkHosts(req);
    this.checkOrigin(req);
    refuseProxies(req);
    refuseOtherBodies(req);
  }

  private checkHosts(req: IncomingMessage): void {
    const count = req.rawHeaders.filter((name, i) => i % 2 === 0 && name.toLowerCase() === 'host').length;
    if (count > 1) throw new HubError('DUPLICATE_HOST', 'the request has more than one Host header');
    const absolute = /^https?:\/\/([^/?#]*)/i.exec(req.url ?? '')?.[1];
    for (const host of [req.headers.host ?? '', ...(absolute === undefined ? [] : [absolute])]) {
      if (!this.isAllowedHost(host)) throw hostRefused(host, this.hosts);
    }
  }

  private isAllowedHost(host: string): boolean {
    const lower = host.toLowerCase();
    return this.hosts.includes(lower) || this.hosts.includes(lower.replace(/:\d{1,5}$/, ''));
  }

  private get hosts(): readonly string[] {
    return this.options.hosts ?? DEFAULT_HOSTS;
  }

  private checkOrigin(req: IncomingMessage): void {
    const { origin, 'sec-fetch-site': site } = req.headers;
    if (req.method === 'OPTIONS' && (origin ?? req.headers['access-control-request-method']) !== undefined) {
      throw originRefused('pages of other origins may not call this address');
    }
    const own = origin !== undefined && isOwnOrigin(req, origin);
    if (origin !== undefined && !own) throw originRefused(`requests of pages at ${origin} are not allowed`);
    if (site !== undefined && !own && !SAME_SITE.includes(String(site))) {
      throw originRefused(`requests across sites (Sec-Fetch-Site: ${site}) are not allowed`);
    }
  }
}

function isOwnOrigin(req: IncomingMessage, origin: string): boolean {
  return origin === `http://${req.headers.host}`;
}

function middlewareOf(style: ResponseStyle, check: (req: IncomingMessage) => Promise<unknown>): Middleware {
  return (req, res, next) => {
    check(req).then(
      () => next(),
      (err: unknown) => {
        respondError(req, res, style, err);
        req.resume();
      },
    );
  };
}

function hostRefused(host: string, hosts: readonly string[]): HubError {
  const allowed = hosts.join(', ');
  return new HubError('HOST_NOT_ALLOWED', `Host must be one of ${allowed} for requests without a token`, {
    metadata: { host: host.slice(0, 255), allowed },
  });
}

function originRefused(why: string, then = 'send a bearer token instead'): HubError {
  return new HubError('ORIGIN_NOT_ALLOWED', `${why}; ${then}`);
}

const NOT_LISTED = 'name the origin in the setting corsOrigins of the hub';

function refuseProxies(req: IncomingMessage): void {
  const header = Object.keys(req.headers).find((name) => PROXY_HEADER.test(name));
  if (header === undefined) return;
  throw new HubError('PROXY_NEEDS_TOKEN', `requests through a proxy (${header}) need a bearer token`, {
    metadata: { header },
  });
}

function refuseOtherBodies(req: IncomingMessage): void {
  const type = req.headers['content-type'];
  if (type === undefined && !hasBody(req)) return;
  if (/^application\/([\w.+-]+\+)?json(\+strict)?\s*(;|$)/i.test(type ?? '')) return;
  throw new HubError(
    'UNSUPPORTED_MEDIA_TYPE',
    'a body must come with the header "Content-Type: application/json"',
    {
      metadata: { contentType: (type ?? '').slice(0, 255) },
    },
  );
}

function refuseTokenInUrl(url: string): void {
  if (!/[?&](token|access_token)=/i.test(url)) return;
  throw new HubError(
    'TOKEN_IN_URL',
    'send the token as "Authorization: Bearer TOKEN"; addresses end up in logs',
  );
}
