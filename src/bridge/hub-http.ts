import { type IncomingMessage, type ServerResponse, STATUS_CODES } from 'node:http';
import express, { type Express, type Request, type Response } from 'express';
import { type Bridge, type BridgeOptions, createBridge, type RequestHandler } from './bridge.js';
import { allowOrigins } from './cors.js';
import type { ExtraRoute } from './extra-route.js';
import { GatewayError } from './gateway-error.js';
import { callerOf, type HttpGuard, type Middleware } from './guard.js';
import { healthzRoute, readyzRoute } from './health-routes.js';
import { acceptHubShorthands } from './hub-leniency.js';
import { hubOpenApi } from './openapi-hub.js';
import { outputRoute } from './output-route.js';
import { respondError } from './respond.js';
import { documentRoute, metricsRoute } from './system-routes.js';
import type { Upgrades } from './upgrades.js';

/** Options of {@link createHubHttp}. */
export interface HubHttpOptions extends Pick<BridgeOptions, 'descriptors' | 'backend' | 'log' | 'bodyLimit'> {
  readonly guard: HttpGuard;
  /** Foreign origins whose pages may call, with a token. Default none. */
  readonly corsOrigins?: readonly string[];
  /** The metrics in the text format of Prometheus. */
  readonly metrics: () => Promise<string>;
  /** Version of the hub. */
  readonly version: string;
}

/** The REST door of a hub. */
export interface HubHttp {
  /** Everything on port 9091, guarded. Requests that a route has go to it at once, all others through `app`. */
  readonly listener: RequestHandler;
  /** The Express application; it answers everything too. */
  readonly app: Express;
  /** WebSockets of the streaming routes, guarded too. */
  readonly upgrades: Upgrades | undefined;
  /** The unguarded bridge, for doors with a guard of their own (the dashboard). */
  readonly bridge: Bridge;
  close(): void;
}

/** Makes the hub's REST door: the guard, the routes of the protos, and those beside them. */
export function createHubHttp(options: HubHttpOptions): HubHttp {
  const { descriptors, backend, log, bodyLimit, guard, corsOrigins = [] } = options;
  const bridge: Bridge = createBridge({
    descriptors,
    backend,
    log,
    ...(bodyLimit === undefined ? {} : { bodyLimit }),
    legacyErrorField: true,
    fieldViolations: true,
    methodOverride: false,
    forwardedHeaders: ['idempotency-key'],
    rejectUnknownFields: 'on-request',
    webSockets: {},
    headers: [
      ['X-Content-Type-Options', 'nosniff'],
      ['Cache-Control', 'no-store'],
    ],
    prepareBody: acceptHubShorthands,
    caller: callerOf,
    extraRoutes: extraRoutes(options, () => bridge),
  });
  const guarded = guard.middleware(bridge.style);
  const cors = corsOrigins.length > 0 ? allowOrigins(corsOrigins) : undefined;
  const before: Middleware = (req, res, next) =>
    cors === undefined ? guarded(req, res, next) : cors(req, res, () => guarded(req, res, next));
  const app = plainExpress();
  app.use(before);
  app.use(bridge.handler);
  app.use((err: unknown, req: IncomingMessage, res: ServerResponse, _next: () => void) => {
    log.error('HTTP request failed', { method: req.method, status: STATUS_CODES[500], error: err });
    respondError(req, res, bridge.style, err);
  });
  const upgrades = bridge.webSockets?.upgrades((req) => guard.checkUpgrade(req));
  const listener: RequestHandler = (req, res) => {
    const answer = bridge.find(req);
    // Express passes by all handlers for a target that it cannot take apart.
    if (answer === undefined)
      app(req as Request, res as Response, () => respondError(req, res, bridge.style, NOT_FOUND));
    else before(req, res, () => answer(req, res));
  };
  return { listener, app, upgrades, bridge, close: () => bridge.close() };
}

const NOT_FOUND = new GatewayError(5, 'Not Found');

/** An express application that adds nothing to answers. */
export function plainExpress(): Express {
  return express().disable('x-powered-by').disable('etag');
}

function extraRoutes({ metrics, version }: HubHttpOptions, bridge: () => Bridge): ExtraRoute[] {
  return [
    metricsRoute(metrics),
    healthzRoute,
    readyzRoute,
    outputRoute,
    documentRoute('/version', () => ({ name: 'vm-agent-system', version })),
    documentRoute('/openapi.json', () => hubOpenApi(bridge().bindings, bridge().registry, version)),
  ];
}
