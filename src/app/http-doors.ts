import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Disposer } from '../base/disposer.js';
import type { Logger } from '../base/logger.js';
import { packageRoot } from '../base/package-root.js';
import type { Backend } from '../bridge/backend.js';
import { HttpGuard } from '../bridge/guard.js';
import { type HttpServer, listenHttp } from '../bridge/http-server.js';
import { createHubHttp } from '../bridge/hub-http.js';
import type { Address } from '../config/address.js';
import type { HubConfig } from '../config/hub-config.js';
import { createDashboard } from '../dashboard/dashboard.js';
import type { CallerRule } from '../security/caller-rule.js';
import { packageVersion } from './version.js';

/** What the HTTP doors are made of. */
export interface HttpDoorsSetup {
  readonly config: HubConfig;
  /** The hub's services. Closed with the doors. */
  readonly backend: Backend;
  readonly rule: CallerRule;
  readonly log: Logger;
  readonly metrics: () => Promise<{ readonly text: string }>;
}

/** The REST bridge and the dashboard, listening. */
export interface HttpDoors {
  readonly http: Address;
  readonly dashboard: Address;
  close(): Promise<void>;
}

/** Opens the REST bridge and the dashboard. @throws HubError ADDRESS_IN_USE. */
export async function openHttpDoors(setup: HttpDoorsSetup): Promise<HttpDoors> {
  const { config, backend, rule, log, metrics } = setup;
  const parts = new Disposer();
  const guard = new HttpGuard({
    authorize: (facts) => rule.authorize(facts),
    origins: config.corsOrigins,
  });
  const rest = createHubHttp({
    descriptors: readFileSync(join(packageRoot(), 'gen', 'descriptors.binpb')),
    backend,
    log: log.with({ component: 'bridge' }),
    guard,
    corsOrigins: config.corsOrigins,
    metrics: async () => (await metrics()).text,
    version: packageVersion(),
  });
  try {
    const http = parts.use(await listenHttp(rest.listener, { ...config.http, upgrades: rest.upgrades }));
    const dashboard = createDashboard({ bridge: rest.bridge, guard, log });
    const page = parts.use(await listenHttp(dashboard, config.dashboard));
    // First the streams are ended, so that those who read them are told why; then the doors are shut.
    parts.use(rest);
    return { http: boundAddress(http), dashboard: boundAddress(page), close: () => parts.close() };
  } catch (err) {
    await parts.close();
    rest.close();
    throw err;
  }
}

function boundAddress({ host, port }: HttpServer): Address {
  return { host, port };
}
