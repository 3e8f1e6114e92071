import { randomUUID } from 'node:crypto';
import { mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { missingIsEmpty, writePrivate } from '../../../base/files.js';
import type { Snapshot } from '../../../model/vm.js';
import type { MachineSpec } from '../../provider.js';

/** What memory depends on: it can only be woken on the same machine. */
export interface Hardware {
  /** Machine type of QEMU with its version, such as `pc-q35-7.2`. */
  readonly machine: string;
  readonly acceleration: 'kvm' | 'hvf' | 'tcg';
  readonly cpu: number;
  readonly memoryBytes: number;
  /** Path of the runtime disk that it sees. */
  readonly runtime: string;
}

/** A snapshot as its machine keeps it. */
export interface KeptSnapshot extends Snapshot {
  /** Bytes of its memory in the disk; 0 when it has none. */
  readonly memoryBytes: number;
  /** There when it holds memory. */
  readonly hardware?: Hardware;
}

/** What is known of a machine, in a file that only the hub reads. */
export interface MachineRecord {
  /** What it is now: a resize changes it. */
  readonly spec: MachineSpec;
  /** In the command line of its QEMU, and in the environment of every process of it. */
  readonly uuid: string;
  /** User and group that its processes have; absent when they are those of the hub. */
  readonly uid?: number;
  /** Content address of its image. */
  readonly image: string;
  /** Whether the disk is complete. */
  readonly made: boolean;
  /** Hardware of the last start. */
  readonly hardware?: Hardware;
  /** Snapshot whose memory the next start wakes. */
  readonly wake?: string;
  /** Oldest first. */
  readonly snapshots: readonly KeptSnapshot[];
}

/** Where the parts of one machine lie on the host. */
export interface MachinePaths {
  readonly name: string;
  readonly dir: string;
  /** Says that this provider made the directory, and holds the record. */
  readonly marker: string;
  readonly secret: string;
  /** Words of the programs that start the machine. */
  readonly launchLog: string;
  /** What the machine's own processes may write: the only part that is theirs. */
  readonly vm: string;
  readonly disk: string;
  readonly boot: string;
  readonly seed: string;
  readonly consoles: readonly [string, string];
}

const MARKER = 'qemu-machine.json';
const FORMAT = 1;

/** Names inside of {@link MachinePaths.vm}. */
export const VM_FILES = {
  disk: 'disk.qcow2',
  boot: 'boot.img',
  seed: 'seed.img',
  consoles: ['console.0', 'console.1'],
} as const;

/** Directory of all machines below the directory of the provider. */
export function qemuMachinesDir(dir: string): string {
  return join(dir, 'machines');
}

/** The places of one machine. */
export function machinePaths(machinesDir: string, name: string): MachinePaths {
  const dir = join(machinesDir, name);
  const vm = join(dir, 'vm');
  return {
    name,
    dir,
    marker: join(dir, MARKER),
    secret: join(dir, 'secret'),
    launchLog: join(dir, 'launch.log'),
    vm,
    disk: join(vm, VM_FILES.disk),
    boot: join(vm, VM_FILES.boot),
    seed: join(vm, VM_FILES.seed),
    consoles: [join(vm, VM_FILES.consoles[0]), join(vm, VM_FILES.consoles[1])],
  };
}

/** A record of a machine that is still to be made. */
export function newRecord(spec: MachineSpec, image: string, uid: number | undefined): MachineRecord {
  const owner = uid === undefined ? {} : { uid };
  return { spec, uuid: randomUUID(), image, made: false, snapshots: [], ...owner };
}

/** The record of a machine; undefined when the directory is missing or not ours. */
export async function readRecord(paths: MachinePaths): Promise<MachineRecord | undefined> {
  const text = await readFile(paths.marker, 'utf8').catch(() => '');
  try {
    const marker: unknown = JSON.parse(text);
    return isMarker(marker) ? marker.record : undefined;
  } catch {
    return undefined;
  }
}

/** Replaces the record; makes the machine's directory when it is the first. */
export async function writeRecord(paths: MachinePaths, record: MachineRecord): Promise<MachineRecord> {
  await mkdir(paths.dir, { recursive: true, mode: 0o700 });
  await writePrivate(paths.marker, `${JSON.stringify({ provider: 'qemu', format: FORMAT, record })}\n`);
  return record;
}

/** A directory that is ours, or holds nothing yet but the beginning of a marker. */
export async function isOursOrNew(paths: MachinePaths): Promise<boolean> {
  if ((await readRecord(paths)) !== undefined) return true;
  const entries = await readdir(paths.dir).catch(missingIsEmpty);
  return entries.every((entry) => entry === `${MARKER}.partial`);
}

/** Records of all machines that carry our marker, by name. */
export async function listRecords(machinesDir: string): Promise<ReadonlyMap<string, MachineRecord>> {
  const entries = await readdir(machinesDir, { withFileTypes: true }).catch(missingIsEmpty);
  const names = entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
  const records = await Promise.all(names.map((name) => readRecord(machinePaths(machinesDir, name))));
  const rows = names.map((name, i) => [name, records[i]] as const).sort(([a], [b]) => (a < b ? -1 : 1));
  return new Map(rows.flatMap(([name, record]) => (record === undefined ? [] : [[name, record]])));
}

function isMarker(value: unknown): value is { readonly record: MachineRecord } {
  if (typeof value !== 'object' || value === null || !('provider' in value)) return false;
  return value.provider === 'qemu' && 'format' in value && value.format === FORMAT && 'record' in value;
}
