import { readFileSync } from 'node:fs';
import { credentials } from '@grpc/grpc-js';
import { Disposer } from '../../../src/base/disposer.js';
import { silentLogger } from '../../../src/base/logger.js';
import { type Bridge, type BridgeOptions, createBridge } from '../../../src/bridge/bridge.js';
import { dial } from '../../../src/bridge/dial.js';
import { healthzRoute } from '../../../src/bridge/health-routes.js';
import { listenHttp } from '../../../src/bridge/http-server.js';
import { plainExpress } from '../../../src/bridge/hub-http.js';
import { startRefBackend } from './ref-backend.js';
import { buildRefDescriptors } from './ref-descriptors.js';

/** A gateway in front of the reference backend. */
export interface RefGateway {
  readonly port: number;
  readonly bridge: Bridge;
  close(): Promise<void>;
}

/** The bridge without a guard, with a stock gateway's options but for those given. */
export async function startRefGateway(options: Partial<BridgeOptions> = {}): Promise<RefGateway> {
  const cleanup = new Disposer();
  const descriptors = await buildRefDescriptors();
  cleanup.defer(() => descriptors[Symbol.dispose]());
  const backend = cleanup.use(await startRefBackend(descriptors.protoDir));
  const bridge = cleanup.use(
    createBridge({
      descriptors: readFileSync(descriptors.file),
      backend: dial(backend.address, credentials.createInsecure()),
      log: silentLogger,
      extraRoutes: [healthzRoute],
      ...options,
    }),
  );
  const app = plainExpress().use(bridge.handler);
  const upgrades = bridge.webSockets?.upgrades();
  const { port } = cleanup.use(await listenHttp(app, { host: '127.0.0.1', port: 0, upgrades }));
  return { port, bridge, close: () => cleanup.close() };
}
