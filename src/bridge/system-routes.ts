import type { ExtraRoute } from './extra-route.js';
import { respond } from './respond.js';

/** `GET /metrics` in the text format of Prometheus. */
export function metricsRoute(read: () => Promise<string>): ExtraRoute {
  return {
    method: 'GET',
    path: '/metrics',
    handle: async ({ req, res, style }) =>
      respond(req, res, style, {
        status: 200,
        contentType: 'text/plain; version=0.0.4; charset=utf-8',
        body: await read(),
      }),
  };
}

/** A `GET` route that answers the same JSON text each time; it is made when it is first asked for. */
export function documentRoute(path: string, make: () => unknown): ExtraRoute {
  let text: string | undefined;
  return {
    method: 'GET',
    path,
    handle: ({ req, res, style }) => {
      text ??= `${JSON.stringify(make(), null, 2)}\n`;
      respond(req, res, style, { status: 200, contentType: 'application/json', body: text });
    },
  };
}
