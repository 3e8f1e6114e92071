/** States of a machine. */
export const VM_STATES = [
  'CREATING',
  'STARTING',
  'RUNNING',
  'STOPPING',
  'STOPPED',
  'RESTORING',
  'DESTROYING',
  'FAILED',
] as const;
export type VmState = (typeof VM_STATES)[number];

/** Resources of a machine, with all defaults filled in. */
export interface VmResources {
  readonly cpu: number;
  readonly memoryBytes: number;
  readonly diskBytes: number;
}

/**
 * What a machine reaches besides the agent door. `host`: all that the host reaches. `internet`: what the host reaches,
 * but nothing of the host itself. `isolated`: nothing.
 */
export const VM_NETWORKS = ['host', 'internet', 'isolated'] as const;
export type VmNetwork = (typeof VM_NETWORKS)[number];

/** What a running machine uses of the host. */
export interface VmUsage {
  /** Processor seconds since it started. */
  readonly cpuSeconds: number;
  readonly memoryBytes: number;
  /** Of its disk and snapshots, allocated. */
  readonly diskBytes: number;
}

/** Hardware help for machines, or why there is none. */
export interface Acceleration {
  readonly kind: 'kvm' | 'hvf' | 'tcg';
  /** Why it is not hardware, for a person; empty when it is. */
  readonly reason: string;
}

/** Steps of an operation on a machine; the last four furnish it as its profile says. */
export type StageName =
  | 'image'
  | 'disk'
  | 'boot'
  | 'agent'
  | 'ready'
  | 'packages'
  | 'files'
  | 'repositories'
  | 'setup';

/** What happens at the end of a machine's ttl. */
export const ON_EXPIRE = ['stop', 'destroy', 'snapshot'] as const;
export type OnExpire = (typeof ON_EXPIRE)[number];

/** When a machine is to be ended by itself; absent times mean never. */
export interface LifePolicy {
  readonly ttlMs?: number;
  /** How long it may be idle before it is stopped. */
  readonly idleStopMs?: number;
  readonly onExpire: OnExpire;
}

/** How far a machine is in its life. Times are milliseconds since 1970, moved by what the hub did not see. */
export interface VmLife extends LifePolicy {
  /** From when the ttl counts. */
  readonly ttlFromMs: number;
  /** When something was last seen to go on in it. */
  readonly activeMs: number;
  readonly keepUntilMs?: number;
  /** When the hub last looked. */
  readonly seenMs: number;
  /** Why it could not be ended so far; empty otherwise. */
  readonly problem: string;
}

export interface VmStage {
  readonly name: StageName;
  readonly detail: string;
  /** Absent while it runs. */
  readonly durationMs?: number;
  readonly error?: string;
}

/** What keeps a machine apart from its host, and what does not. */
export interface VmIsolation {
  readonly kind: 'vm' | 'container' | 'namespaces' | 'directory';
  readonly securityBoundary: boolean;
  /** Paths that are the machine's own and part of its snapshots. */
  readonly privatePaths: readonly string[];
  /** Limits that were asked for and are not enforced. */
  readonly notEnforced: readonly ('cpu' | 'memory' | 'disk')[];
  readonly notes: readonly string[];
}

/** A machine. Times are milliseconds since 1970. */
export interface Vm {
  readonly name: string;
  readonly provider: string;
  readonly state: VmState;
  readonly resources: VmResources;
  readonly isolation: VmIsolation;
  readonly stages: readonly VmStage[];
  readonly error: string;
  /** Counts restores, from 1. Only grows. */
  readonly generation: number;
  readonly image: string;
  readonly network: VmNetwork;
  readonly address: string;
  /** Lets tasks use sudo where the machine is the host. */
  readonly allowHostSudo: boolean;
  /** How it was last started; absent where that is no question. */
  readonly acceleration?: Acceleration;
  /** Absent when it is never ended by itself. */
  readonly life?: VmLife;
  readonly profile?: string;
  readonly createMs: number;
  readonly startMs?: number;
}

/** A saved state of a machine. */
export interface Snapshot {
  readonly name: string;
  readonly agent: string;
  readonly createMs: number;
  readonly sizeBytes: number;
  readonly live: boolean;
  readonly description: string;
}

/** What a provider says of itself on this host. */
export interface ProviderInfo {
  readonly name: string;
  readonly available: boolean;
  readonly reason: string;
  readonly isDefault: boolean;
  readonly capabilities: readonly string[];
  readonly isolation: VmIsolation;
  readonly networks: readonly VmNetwork[];
  readonly acceleration?: Acceleration;
}

/** A disk image. */
export interface Image {
  readonly name: string;
  readonly provider: string;
  readonly sizeBytes: number;
  readonly cached: boolean;
  readonly description: string;
}

/** Whether tasks may use sudo in it: in machines of their own always, on the host itself when that was allowed. */
export function letsSudo(vm: Vm): boolean {
  return vm.isolation.kind === 'vm' || vm.isolation.kind === 'container' || vm.allowHostSudo;
}
