import type { ProfileInfo } from '../model/profile.js';
import type { Image, ProviderInfo, Snapshot, Vm, VmUsage } from '../model/vm.js';
import type { ResourceRequest } from './resources.js';

/** What the gRPC servers call for machines. Making and destroying goes through the hub's agents. */
export interface VmApi {
  /** @throws VM_NOT_FOUND. */
  get(name: string): Vm;
  /** By name. */
  list(): readonly Vm[];
  /** @throws VM_NOT_FOUND, VM_FAILED. Resolves when the agent is online. Does nothing when it runs. */
  start(name: string, signal: AbortSignal): Promise<Vm>;
  /** @throws VM_NOT_FOUND, VM_FAILED. Does nothing when it is stopped. */
  stop(name: string, force: boolean, signal: AbortSignal): Promise<Vm>;
  restart(name: string, signal: AbortSignal): Promise<Vm>;
  /** @throws INVALID_FIELD, RESOURCES_EXCEEDED, NOT_SUPPORTED. */
  resize(
    name: string,
    request: ResourceRequest,
    signal: AbortSignal,
  ): Promise<{ readonly vm: Vm; readonly restartNeeded: boolean }>;
  /** Holds off what its ttl and idle stop would do. @throws ILLEGAL_STATE for a machine that has neither. */
  keepAlive(name: string, forMs: number | undefined): Promise<Vm>;
  /** What it uses now; undefined when it does not run or that cannot be told. */
  usage(name: string, signal: AbortSignal): Promise<VmUsage | undefined>;
  /** The last lines of its console, at most `lines`. @throws VM_NOT_FOUND. */
  console(name: string, lines: number | undefined): Promise<string>;
  /** Oldest first. */
  snapshots(name: string): Promise<readonly Snapshot[]>;
  /** @throws SNAPSHOT_EXISTS, NOT_SUPPORTED, VM_FAILED. */
  snapshot(name: string, snapshot: string, description: string, signal: AbortSignal): Promise<Snapshot>;
  /** @throws SNAPSHOT_NOT_FOUND. */
  deleteSnapshot(name: string, snapshot: string, signal: AbortSignal): Promise<void>;
  /** @throws SNAPSHOT_NOT_FOUND naming those that are there, NOT_SUPPORTED, VM_FAILED. */
  restore(name: string, snapshot: string, signal: AbortSignal): Promise<Vm>;
  /** In the order of preference, with what their self-tests say. */
  providers(): Promise<readonly ProviderInfo[]>;
  images(): Promise<readonly Image[]>;
  /** By name. */
  profiles(): Promise<readonly ProfileInfo[]>;
}
