import { HubError } from '../../src/model/hub-error.js';
import type { Snapshot, VmIsolation, VmResources } from '../../src/model/vm.js';
import type {
  BootInfo,
  MachineSpec,
  ProviderCapabilities,
  ProviderState,
  SelfTest,
  StageReport,
  VmProvider,
} from '../../src/vm/provider.js';

/** A provider in memory. Public fields say how it behaves; `calls` holds what was asked of it, in order. */
export class FakeVmProvider implements VmProvider {
  readonly calls: string[] = [];
  readonly boots: BootInfo[] = [];
  readonly states = new Map<string, ProviderState>();
  readonly saved: Snapshot[] = [];
  works: SelfTest = { works: true };
  host: VmResources = { cpu: 2, memoryBytes: 8 * 1024 ** 3, diskBytes: 50 * 1024 ** 3 };
  capabilities: ProviderCapabilities = {
    snapshot: true,
    liveSnapshot: false,
    freezes: false,
    console: true,
    enforces: ['cpu', 'memory', 'disk'],
    networks: ['host', 'isolated'],
  };
  /** Runs inside the named call, before it takes effect: may wait or throw. */
  hook: (call: string, signal: AbortSignal) => Promise<void> = async () => {};

  constructor(readonly name = 'qemu') {}

  async selfTest(): Promise<SelfTest> {
    return this.works;
  }

  async isolation(): Promise<VmIsolation> {
    return { kind: 'vm', securityBoundary: true, privatePaths: ['/'], notEnforced: [], notes: [] };
  }

  async limits(): Promise<VmResources> {
    return this.host;
  }

  async create(spec: MachineSpec, report: StageReport, signal: AbortSignal): Promise<void> {
    const done = report('disk', 'fake disk');
    await this.call('create', signal);
    done();
    this.states.set(spec.name, 'stopped');
  }

  async start(name: string, boot: BootInfo, report: StageReport, signal: AbortSignal): Promise<void> {
    const done = report('boot', 'fake boot');
    await this.call('start', signal);
    done();
    this.boots.push(boot);
    this.states.set(name, 'running');
  }

  async stop(name: string, options: { readonly force: boolean }, signal: AbortSignal): Promise<void> {
    await this.call(options.force ? 'stop --force' : 'stop', signal);
    if (this.states.has(name)) this.states.set(name, 'stopped');
  }

  async destroy(name: string, signal: AbortSignal): Promise<void> {
    await this.call('destroy', signal);
    this.states.delete(name);
  }

  async inspect(name: string): Promise<ProviderState> {
    return this.states.get(name) ?? 'absent';
  }

  async list(): Promise<readonly string[]> {
    return [...this.states.keys()].sort();
  }

  async listSnapshots(): Promise<readonly Snapshot[]> {
    return this.saved;
  }

  async snapshot(agent: string, name: string, description: string, signal: AbortSignal): Promise<Snapshot> {
    await this.call('snapshot', signal);
    const snapshot = { name, agent, createMs: 1, sizeBytes: 1, live: false, description };
    this.saved.push(snapshot);
    return snapshot;
  }

  async deleteSnapshot(_name: string, _snapshot: string, signal: AbortSignal): Promise<void> {
    await this.call('deleteSnapshot', signal);
  }

  async restore(name: string, _snapshot: string, signal: AbortSignal): Promise<void> {
    await this.call('restore', signal);
    if (this.states.get(name) !== 'stopped') throw new HubError('ILLEGAL_STATE', 'it must be stopped');
  }

  async images() {
    return [];
  }

  async consoleTail(): Promise<string> {
    return 'fake kernel panic';
  }

  private async call(name: string, signal: AbortSignal): Promise<void> {
    this.calls.push(name);
    await this.hook(name, signal);
    signal.throwIfAborted();
  }
}
