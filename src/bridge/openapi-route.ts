import type { Bridge } from './bridge.js';
import type { ExtraRoute } from './extra-route.js';
import { createOpenApi } from './openapi.js';
import { documentRoute } from './system-routes.js';

/** `GET /openapi.json`: the OpenAPI document of a bridge for any protos. */
export function openApiRoute(bridge: () => Bridge): ExtraRoute {
  return documentRoute('/openapi.json', () => {
    const { bindings, registry } = bridge();
    const packages = new Set(bindings.map(({ method }) => method.parent.file.proto.package));
    return createOpenApi(bindings, registry, { title: [...packages].join(', '), version: '1' });
  });
}
