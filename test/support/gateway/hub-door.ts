import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { credentials } from '@grpc/grpc-js';
import { Disposer } from '../../../src/base/disposer.js';
import { silentLogger } from '../../../src/base/logger.js';
import { packageRoot } from '../../../src/base/package-root.js';
import type { Backend } from '../../../src/bridge/backend.js';
import { dial } from '../../../src/bridge/dial.js';
import { HttpGuard, type HttpGuardOptions } from '../../../src/bridge/guard.js';
import { listenHttp } from '../../../src/bridge/http-server.js';
import { createHubHttp, type HubHttp } from '../../../src/bridge/hub-http.js';
import { HubError } from '../../../src/model/hub-error.js';
import { ADMIN, type Caller, LOCAL_OPERATOR } from '../../../src/security/caller.js';
import { type StandInHub, startStandInHub } from './stand-in-hub.js';

/** A hub's REST door in front of a stand-in hub. */
export interface HubDoor {
  readonly port: number;
  readonly hub: StandInHub;
  readonly http: HubHttp;
  readonly guard: HttpGuard;
  /** For whom each call with one answer was made. */
  readonly callers: readonly (Caller | undefined)[];
  close(): Promise<void>;
}

/** Token that the door's callers may use. */
export const TOKEN = 'a-token-for-tests';

/** Foreign origin whose pages may call the door. */
export const ALLOWED_ORIGIN = 'http://pages.example';

const authorize: HttpGuardOptions['authorize'] = async ({ authorization }) => {
  if (authorization === undefined) return LOCAL_OPERATOR;
  if (authorization === `Bearer ${TOKEN}`) return ADMIN;
  throw new HubError('NOT_AUTHENTICATED', 'the token is not valid');
};

/** Starts a door on a free port. */
export async function startHubDoor(): Promise<HubDoor> {
  const cleanup = new Disposer();
  const hub = cleanup.use(await startStandInHub());
  const guard = new HttpGuard({ authorize, origins: [ALLOWED_ORIGIN] });
  const callers: (Caller | undefined)[] = [];
  const http = cleanup.use(
    createHubHttp({
      descriptors: readFileSync(join(packageRoot(), 'gen/descriptors.binpb')),
      backend: noting(callers, dial(hub.address, credentials.createInsecure())),
      log: silentLogger,
      guard,
      corsOrigins: [ALLOWED_ORIGIN],
      metrics: async () => 'vm_hub_agents 1\n',
      version: '1.2.3',
    }),
  );
  const server = cleanup.use(
    await listenHttp(http.listener, { host: '127.0.0.1', port: 0, upgrades: http.upgrades }),
  );
  return { port: server.port, hub, http, guard, callers, close: () => cleanup.close() };
}

function noting(callers: (Caller | undefined)[], backend: Backend): Backend {
  return {
    ...backend,
    makeUnaryRequest: (path, request, metadata, options, done) => {
      callers.push(options.caller);
      return backend.makeUnaryRequest(path, request, metadata, options, done);
    },
  };
}
