import type {
  Acceleration,
  Image,
  Snapshot,
  StageName,
  VmIsolation,
  VmNetwork,
  VmResources,
  VmUsage,
} from '../model/vm.js';

export type { Acceleration } from '../model/vm.js';

/**
 * Runs machines of one kind. Every operation is idempotent and ends when its signal aborts. Names were checked
 * against the name rule. The contract suite is test/contract/vm-provider-suite.ts.
 */
export interface VmProvider {
  readonly name: string;
  readonly capabilities: ProviderCapabilities;
  /** Whether it works on this host. Fast, or cached. */
  selfTest(signal: AbortSignal): Promise<SelfTest>;
  /** How its machines are isolated on this host. */
  isolation(): Promise<VmIsolation>;
  /** What one machine may have at most on this host. */
  limits(): Promise<VmResources>;
  /** Makes a machine without starting it. A half-made one is taken up and completed. */
  create(spec: MachineSpec, report: StageReport, signal: AbortSignal): Promise<void>;
  /** Starts it; resolves when its agent's program runs (or the machine boots it). */
  start(name: string, boot: BootInfo, report: StageReport, signal: AbortSignal): Promise<void>;
  stop(name: string, options: { readonly force: boolean }, signal: AbortSignal): Promise<void>;
  /** Destroys a machine and its snapshots; does nothing when there is none. */
  destroy(name: string, signal: AbortSignal): Promise<void>;
  /** `unknown` is never to be read as stopped. */
  inspect(name: string, signal: AbortSignal): Promise<ProviderState>;
  /** Names of all machines that it made, and no others. */
  list(signal: AbortSignal): Promise<readonly string[]>;
  listSnapshots(name: string): Promise<readonly Snapshot[]>;
  snapshot(name: string, snapshot: string, description: string, signal: AbortSignal): Promise<Snapshot>;
  deleteSnapshot(name: string, snapshot: string, signal: AbortSignal): Promise<void>;
  /**
   * Takes a stopped machine back to a snapshot. When that one holds memory, the next start wakes the memory and tells
   * it the new {@link BootInfo}.
   */
  restore(name: string, snapshot: string, signal: AbortSignal): Promise<void>;
  images(): Promise<readonly Image[]>;
  /** The last lines of the console, or an empty text. */
  consoleTail(name: string): Promise<string>;
  /**
   * Gives a machine other resources; a disk only grows. Answers whether all of it is in force, or some only from the
   * next start. Absent where it cannot.
   *
   * @throws HubError INVALID_FIELD for a disk that would shrink.
   */
  resize?(name: string, resources: VmResources, signal: AbortSignal): Promise<ResizeResult>;
  /** What a machine uses of this host now; undefined when it does not run. Absent where it cannot tell. */
  usage?(name: string, signal: AbortSignal): Promise<VmUsage | undefined>;
  /** How its machines are sped up on this host, such as `kvm` or `tcg`; cached after the self-test. */
  acceleration?(signal: AbortSignal): Promise<Acceleration>;
}

export type ResizeResult = 'applied' | 'at_next_start';

export interface ProviderCapabilities {
  readonly snapshot: boolean;
  /** Snapshots hold memory. */
  readonly liveSnapshot: boolean;
  /** Stops all processes of a running machine by itself while it copies the disk for a snapshot. */
  readonly freezes: boolean;
  readonly console: boolean;
  /** Limits that it enforces. */
  readonly enforces: readonly ('cpu' | 'memory' | 'disk')[];
  /** What can be chosen for {@link MachineSpec.network}, the default first. */
  readonly networks: readonly VmNetwork[];
}

export type SelfTest = { readonly works: true } | { readonly works: false; readonly reason: string };

export type ProviderState = 'running' | 'stopped' | 'absent' | 'unknown';

export interface MachineSpec {
  readonly name: string;
  readonly resources: VmResources;
  /** Absent for the provider's default image. */
  readonly image?: string;
  readonly network: VmNetwork;
  readonly allowHostSudo: boolean;
}

/** What a machine is told from outside at each start. */
export interface BootInfo {
  readonly agentId: string;
  /** Address of the agent door as seen from the host: `unix:/path` or `host:port`. */
  readonly door: string;
  /** Given at the first start only; the provider keeps it (0600, outside snapshots) for the later ones. */
  readonly joinSecret?: string;
  readonly vmGeneration: number;
}

/** Tells that a stage began; the answer tells that it is over. */
export type StageReport = (stage: StageName, detail: string) => (error?: string) => void;
