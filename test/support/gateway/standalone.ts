import { type GatewayOptions, type RunningGateway, startGateway } from '../../../src/app/gateway.js';
import { Disposer } from '../../../src/base/disposer.js';
import { silentLogger } from '../../../src/base/logger.js';
import type { UnescapingMode } from '../../../src/bridge/unescaping.js';
import { startEchoBackend } from './echo-backend.js';
import { type RefBackend, startRefBackend } from './ref-backend.js';
import { buildRefDescriptors, type RefDescriptors } from './ref-descriptors.js';

/** Standalone gateways in front of one backend, started when they are asked for. */
export class Standalone {
  private readonly cleanup = new Disposer();
  private readonly gateways = new Map<UnescapingMode, Promise<RunningGateway>>();

  private constructor(
    readonly descriptors: RefDescriptors,
    readonly backend: RefBackend,
  ) {
    this.cleanup.defer(() => descriptors[Symbol.dispose]());
    this.cleanup.use(backend);
  }

  /** In front of the reference backend. */
  static async ref(): Promise<Standalone> {
    const descriptors = await buildRefDescriptors();
    return new Standalone(descriptors, await startRefBackend(descriptors.protoDir));
  }

  /** With the odd protos, in front of a backend that echoes. */
  static async odd(): Promise<Standalone> {
    const descriptors = await buildRefDescriptors(['odd', 'odd2', 'odd3']);
    const v1 = ['Echo', 'Update', 'Resp', 'One'].map((name) => `/odd.v1.Odd/${name}`);
    return new Standalone(
      descriptors,
      await startEchoBackend([...v1, '/odd.v2.Odd2/Echo', '/odd.v3.Odd3/Echo']),
    );
  }

  /** A gateway with a stock gateway's options, but for those given. It is closed with this. */
  async start(options: Partial<GatewayOptions> = {}): Promise<RunningGateway> {
    const { descriptors, backend } = this;
    const ends = { descriptorSet: descriptors.file, target: backend.address, listen: '127.0.0.1:0' };
    return this.cleanup.use(await startGateway({ ...ends, log: silentLogger, ...options }));
  }

  /** The port of the gateway that unescapes paths so. */
  async port(mode: UnescapingMode = 'legacy'): Promise<number> {
    const started = this.gateways.get(mode) ?? this.start({ unescaping: mode });
    this.gateways.set(mode, started);
    return (await started).address.port;
  }

  close(): Promise<void> {
    return this.cleanup.close();
  }
}
