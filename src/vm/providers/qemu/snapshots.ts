import { statfs } from 'node:fs/promises';
import type { Clock } from '../../../base/clock.js';
import { HubError } from '../../../model/hub-error.js';
import type { Snapshot } from '../../../model/vm.js';
import { allocatedBytes, diskSnapshot, snapshotsInDisk } from './disk.js';
import { type KeptSnapshot, type MachinePaths, type MachineRecord, writeRecord } from './machine-record.js';
import type { MachineRunner } from './machine-runner.js';

/** Most snapshots of one machine. */
const MAX_SNAPSHOTS = 256;
/** Most time for removing what a snapshot that failed left. */
const CLEANUP_MS = 60_000;
/** Below this a disk of the host is full: QEMU calls a write of memory that fails an input/output error. */
const FULL_BYTES = 4 * 1024 ** 2;

/** A machine whose snapshots are worked on. */
export interface SnapshotScene {
  readonly paths: MachinePaths;
  readonly record: MachineRecord;
}

/**
 * Snapshots inside of a machine's disk: with memory while it runs, of the disk alone while it is stopped. The record
 * is what counts; what the disk has besides was left by somebody who died on the way, and is removed.
 */
export class Snapshots {
  constructor(
    private readonly runner: MachineRunner,
    private readonly clock: Clock,
  ) {}

  /** @throws HubError SNAPSHOT_EXISTS, DISK_FULL, VM_FAILED. Nothing is left when it fails. */
  async take(
    { paths, record }: SnapshotScene,
    about: { readonly name: string; readonly description: string },
    signal: AbortSignal,
  ): Promise<Snapshot> {
    this.refuseTaken(record, about.name);
    const live = (await this.runner.find(record)) !== undefined;
    await this.discard({ paths, record }, about.name, signal);
    const createMs = this.clock.now();
    try {
      const memory = live
        ? await this.runner.monitor(record).saveSnapshot(about.name, this.clock, signal)
        : await this.takeDisk({ paths, record }, about.name, signal);
      signal.throwIfAborted();
      const others = record.snapshots.reduce((sum, { memoryBytes }) => sum + memoryBytes, 0);
      const sizeBytes = Math.max(1, (await allocatedBytes(paths)) - others);
      const base: Snapshot = { ...about, agent: paths.name, createMs, sizeBytes, live };
      const hardware = live && record.hardware ? { hardware: record.hardware } : {};
      const kept: KeptSnapshot = { ...base, memoryBytes: memory, ...hardware };
      await writeRecord(paths, { ...record, snapshots: [...record.snapshots, kept] });
      return base;
    } catch (err) {
      const error = withoutRoom(paths.name, err, await freeBytes(paths));
      await this.discard({ paths, record }, about.name, AbortSignal.timeout(CLEANUP_MS)).catch(() => {});
      throw error;
    }
  }

  /** The record goes first, so that no snapshot is promised that is not there. */
  async remove({ paths, record }: SnapshotScene, name: string, signal: AbortSignal): Promise<void> {
    known(record, paths.name, name);
    const { wake, ...rest } = record;
    const left = record.snapshots.filter((item) => item.name !== name);
    const next = { ...rest, snapshots: left, ...(wake === undefined || wake === name ? {} : { wake }) };
    await writeRecord(paths, next);
    await this.discard({ paths, record: next }, name, signal);
  }

  /** Takes the disk of a stopped machine back; memory is left to the next start. */
  async restore({ paths, record }: SnapshotScene, name: string, signal: AbortSignal): Promise<void> {
    const snapshot = known(record, paths.name, name);
    await diskSnapshot(paths, record, 'apply', name, signal);
    const { wake: _, ...rest } = record;
    await writeRecord(paths, snapshot.live ? { ...rest, wake: name } : rest);
  }

  private async takeDisk(
    { paths, record }: SnapshotScene,
    name: string,
    signal: AbortSignal,
  ): Promise<number> {
    await diskSnapshot(paths, record, 'create', name, signal);
    return 0;
  }

  /** Removes a snapshot from the disk when it is there. */
  private async discard({ paths, record }: SnapshotScene, name: string, signal: AbortSignal): Promise<void> {
    if ((await this.runner.find(record)) !== undefined) {
      await this.runner.monitor(record).deleteSnapshot(name, this.clock, signal);
    } else if ((await snapshotsInDisk(paths, record, signal)).has(name)) {
      await diskSnapshot(paths, record, 'delete', name, signal);
    }
  }

  private refuseTaken(record: MachineRecord, name: string): void {
    const agent = record.spec.name;
    if (record.snapshots.some((item) => item.name === name)) {
      const message = `${agent} already has a snapshot ${name}; choose another name or delete it`;
      throw new HubError('SNAPSHOT_EXISTS', message, { metadata: { agent, snapshot: name } });
    }
    if (record.snapshots.length < MAX_SNAPSHOTS) return;
    const message = `${agent} has ${MAX_SNAPSHOTS} snapshots already; delete some`;
    throw new HubError('RESOURCES_EXCEEDED', message, { metadata: { agent } });
  }
}

/** QEMU tells a full disk in words, or by its number. */
function withoutRoom(agent: string, err: unknown, free: number): unknown {
  if (!(err instanceof HubError) || err.reason !== 'VM_FAILED') return err;
  if (free >= FULL_BYTES && !/No space left|Error -28\b/.test(err.message)) return err;
  const message = `the host's disk has no room for a snapshot of ${agent}; make room or delete snapshots`;
  return new HubError('DISK_FULL', message, { metadata: { agent }, cause: err });
}

async function freeBytes({ vm }: MachinePaths): Promise<number> {
  const { bavail, bsize } = await statfs(vm);
  return bavail * bsize;
}

/** A snapshot of a machine. @throws HubError SNAPSHOT_NOT_FOUND naming those that are there. */
export function known(record: MachineRecord, agent: string, name: string): KeptSnapshot {
  const found = record.snapshots.find((item) => item.name === name);
  if (found !== undefined) return found;
  const names = record.snapshots.map((item) => item.name).join(', ');
  const message = `${agent} has no snapshot ${name}; ${names ? `it has: ${names}` : 'it has none'}`;
  throw new HubError('SNAPSHOT_NOT_FOUND', message, { metadata: { agent, snapshot: name, known: names } });
}
