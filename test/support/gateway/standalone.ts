import { type GatewayOptions, startGateway } from '../../../src/app/gateway.js';
import { Disposer } from '../../../src/base/disposer.js';
import { silentLogger } from '../../../src/base/logger.js';
import { startRefBackend } from './ref-backend.js';
import { buildRefDescriptors } from './ref-descriptors.js';

/** The standalone gateway in front of the reference backend, with a stock gateway's options unless told otherwise. */
export async function startStandalone(
  options: Partial<GatewayOptions> = {},
): Promise<{ readonly port: number; close(): Promise<void> }> {
  const cleanup = new Disposer();
  const descriptors = await buildRefDescriptors();
  cleanup.defer(() => descriptors[Symbol.dispose]());
  const { address: target } = cleanup.use(await startRefBackend(descriptors.protoDir));
  const ends = { descriptorSet: descriptors.file, target, listen: '127.0.0.1:0' };
  const { address } = cleanup.use(await startGateway({ ...ends, log: silentLogger, ...options }));
  return { port: address.port, close: () => cleanup.close() };
}
