import type { IncomingMessage, ServerResponse } from 'node:http';
import express, { type Express } from 'express';
import type { Logger } from '../base/logger.js';
import { readWebFiles, type WebFile, webFolder } from './web-files.js';

type Middleware = (req: IncomingMessage, res: ServerResponse, next: () => void) => void;

/** Options of {@link createDashboard}. `Style` is how the bridge writes errors; the dashboard only hands it on. */
export interface DashboardOptions<Style> {
  /** Answers what is below `/api`. */
  readonly bridge: {
    readonly handler: (req: IncomingMessage, res: ServerResponse) => void;
    readonly style: Style;
  };
  /** Decides who may ask. */
  readonly guard: {
    /** For data: checks host, origin, proxies, and who calls. */
    middleware(style: Style): Middleware;
    /** For the page itself, which holds no data: checks the host. */
    hostMiddleware(style: Style): Middleware;
  };
  readonly log: Logger;
}

/** The page may load and ask nothing but its own server, and may not be framed. */
const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

const HEADERS: Readonly<Record<string, string>> = {
  'Content-Security-Policy': CONTENT_SECURITY_POLICY,
  'X-Content-Type-Options': 'nosniff',
  'X-Frame-Options': 'DENY',
  'Referrer-Policy': 'no-referrer',
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Cache-Control': 'no-cache',
};

/**
 * Makes the dashboard: a page that shows the hub, and below `/api` the part of the REST API that only reads. It
 * changes nothing, so a visitor without a token can see but not touch.
 *
 * @throws when the files of the page are missing.
 */
export function createDashboard<Style>(options: DashboardOptions<Style>): Express {
  const { bridge, guard, log } = options;
  const files = readWebFiles(webFolder());
  const app = express().disable('x-powered-by').disable('etag');
  app.use('/api', refuseChanges, guard.middleware(bridge.style), bridge.handler);
  app.use(guard.hostMiddleware(bridge.style), (req, res) => serveFile(files, req, res));
  app.use((err: unknown, _req: IncomingMessage, res: ServerResponse, _next: () => void) => {
    log.error('dashboard request failed', { error: err });
    refuse(res, 500, 13, 'internal error; the hub log has the details');
  });
  return app;
}

function refuseChanges(req: IncomingMessage, res: ServerResponse, next: () => void): void {
  if (req.method === 'GET' || req.method === 'HEAD') next();
  else refuse(res, 403, 7, 'the dashboard only reads: use vm-agent or the REST API to change something');
}

function serveFile(files: ReadonlyMap<string, WebFile>, req: IncomingMessage, res: ServerResponse): void {
  const file = files.get((req.url ?? '/').split('?')[0] ?? '/');
  if (req.method !== 'GET' && req.method !== 'HEAD') refuse(res, 405, 12, 'Method Not Allowed');
  else if (file === undefined) refuse(res, 404, 5, 'Not Found');
  else {
    res.writeHead(200, { ...HEADERS, 'Content-Type': file.contentType, 'Content-Length': file.body.length });
    res.end(file.body);
  }
}

function refuse(res: ServerResponse, status: number, code: number, message: string): void {
  const body = JSON.stringify({ code, message, details: [], error: message });
  const headers = {
    ...HEADERS,
    'Content-Type': 'application/json',
    'Content-Length': Buffer.byteLength(body),
  };
  res.writeHead(status, headers);
  res.end(body);
}
