import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Clock, systemClock } from '../../src/base/clock.js';
import { silentLogger } from '../../src/base/logger.js';
import type { TaskRequest } from '../../src/hub/api.js';
import type { HubContext } from '../../src/hub/context.js';
import { Hub } from '../../src/hub/hub.js';
import { DEFAULT_LIMITS, type HubLimits } from '../../src/hub/limits.js';
import type { Machines } from '../../src/hub/machines.js';
import { HubMetrics } from '../../src/hub/metrics.js';
import { HubError } from '../../src/model/hub-error.js';
import { SegmentOutputLog } from '../../src/store/output/segment-output-log.js';
import { SqliteStore } from '../../src/store/sqlite/sqlite-store.js';
import { execSpec } from './samples.js';

const noMachine = (name: string) => new HubError('VM_NOT_FOUND', `there is no machine ${name}`);

/** A machine manager that has no machines. */
const noMachines: Machines = {
  create: async () => {
    throw new HubError('PROVIDER_UNAVAILABLE', 'no machines here');
  },
  untilOnline: (name) => Promise.reject(noMachine(name)),
  stage: async () => {},
  get: (name) => {
    throw noMachine(name);
  },
  destroy: async () => {},
  consoleTail: async () => '',
};

/** A hub on a real store and output log in a temporary directory. */
export class HubHarness {
  private constructor(
    readonly dir: string,
    readonly hub: Hub,
    readonly ctx: HubContext,
  ) {}

  static async start(
    limits: Partial<HubLimits> = {},
    dir?: string,
    machines: Partial<Machines> = {},
    clock: Clock = systemClock,
  ): Promise<HubHarness> {
    const home = dir ?? (await mkdtemp(join(tmpdir(), 'hub-')));
    const log = silentLogger;
    const store = new SqliteStore({ path: join(home, 'hub.db'), log });
    await store.open();
    await mkdir(join(home, 'output'), { recursive: true });
    const output = new SegmentOutputLog({ dir: join(home, 'output'), index: store.outputIndex, log });
    await output.open();
    const metrics = new HubMetrics('test');
    const ctx = { store, output, clock, log, metrics, limits: { ...DEFAULT_LIMITS, ...limits } };
    const hub = new Hub({
      ctx,
      machines: { ...noMachines, ...machines },
      levels: { level: 'info' },
      version: 'test',
      door: 'unix:/x',
    });
    await hub.start();
    return new HubHarness(home, hub, ctx);
  }

  /** Accepts a command line for an agent. */
  post(agent: string | undefined, more: Partial<TaskRequest> = {}) {
    const options = { lane: 'default', onFailure: 'CONTINUE', after: [], requiredCapabilities: [] } as const;
    const about = { priority: 0, labels: {}, maxAttempts: 1, creator: 'tester' };
    const target = agent === undefined ? {} : { agent };
    return this.hub.tasks.create({ spec: execSpec(), ...options, ...about, ...target, ...more });
  }

  /** Stops the hub and keeps its files. */
  async stop(): Promise<void> {
    await this.hub.close();
    await this.ctx.output.close();
    await this.ctx.store.close();
  }

  async close(): Promise<void> {
    await this.stop();
    await rm(this.dir, { recursive: true });
  }
}
