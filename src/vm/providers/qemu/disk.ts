import { chmod, chown, mkdir, rm, stat } from 'node:fs/promises';
import { run } from '../../../base/process.js';
import { HubError } from '../../../model/hub-error.js';
import { QEMU_IMG, TOOL_ENV } from './host.js';
import { type MachinePaths, VM_FILES } from './machine-record.js';

/** Programs that work on a disk have its owner's rights only: what is in a disk was written by a guest. */
export interface DiskOwner {
  /** Absent for the user of this process. */
  readonly uid?: number;
}

/** Snapshots of a disk are named so that no name is taken for a number of one. */
const TAG_PREFIX = 's-';
const IMG_MS = 10 * 60_000;

/** The disk alone: what its header says is below it is never opened. */
const DISK_ALONE = `json:${JSON.stringify({
  driver: 'qcow2',
  backing: null,
  file: { driver: 'file', filename: VM_FILES.disk },
})}`;

/** The name that a snapshot has in the disk. */
export function snapshotTag(snapshot: string): string {
  return `${TAG_PREFIX}${snapshot}`;
}

/** Makes the directory that is the machine's own. */
export async function makeVmDir(paths: MachinePaths, owner: DiskOwner): Promise<void> {
  await mkdir(paths.vm, { recursive: true, mode: 0o700 });
  await chmod(paths.vm, 0o700);
  if (owner.uid !== undefined) await chown(paths.vm, owner.uid, owner.uid);
}

/** Makes the machine's disk, empty over its image; a half-made one is made again. */
export async function makeDisk(
  paths: MachinePaths,
  disk: DiskOwner & { readonly image: string; readonly bytes: number },
  signal: AbortSignal,
): Promise<void> {
  await rm(paths.disk, { force: true });
  const { image, bytes, ...owner } = disk;
  // The name in the header is for people; QEMU is always told what is below.
  const args = [
    'create',
    '-q',
    '-u',
    '-f',
    'qcow2',
    '-F',
    'qcow2',
    '-b',
    image,
    VM_FILES.disk,
    String(bytes),
  ];
  await img(paths, owner, args, signal);
  await chmod(paths.disk, 0o600);
}

/** Grows the disk of a stopped machine; does nothing when it has that size. */
export async function growDisk(
  paths: MachinePaths,
  owner: DiskOwner,
  bytes: number,
  signal: AbortSignal,
): Promise<void> {
  if ((await virtualSize(paths, owner, signal)) >= bytes) return;
  await img(paths, owner, ['resize', '-q', DISK_ALONE, String(bytes)], signal);
}

/** Does something to a snapshot in the disk of a stopped machine. */
export async function diskSnapshot(
  paths: MachinePaths,
  owner: DiskOwner,
  action: 'create' | 'apply' | 'delete',
  snapshot: string,
  signal: AbortSignal,
): Promise<void> {
  const flag = { create: '-c', apply: '-a', delete: '-d' }[action];
  await img(paths, owner, ['snapshot', '-q', flag, snapshotTag(snapshot), DISK_ALONE], signal);
}

/** Names of snapshots in the disk of a stopped machine, with the size of their memory. */
export async function snapshotsInDisk(
  paths: MachinePaths,
  owner: DiskOwner,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, number>> {
  const { snapshots } = await info(paths, owner, signal);
  return snapshotsOf(snapshots);
}

/** Names of our snapshots in what QEMU says of a disk, with the size of their memory. */
export function snapshotsOf(rows: unknown): ReadonlyMap<string, number> {
  const list = (Array.isArray(rows) ? rows : []) as { name?: unknown; 'vm-state-size'?: unknown }[];
  return new Map(
    list.flatMap(({ name, 'vm-state-size': bytes }) =>
      typeof name === 'string' && name.startsWith(TAG_PREFIX)
        ? [[name.slice(TAG_PREFIX.length), Number(bytes)]]
        : [],
    ),
  );
}

/** Bytes that the disk takes of the host. */
export async function allocatedBytes(paths: MachinePaths): Promise<number> {
  return (await stat(paths.disk)).blocks * 512;
}

async function virtualSize(paths: MachinePaths, owner: DiskOwner, signal: AbortSignal): Promise<number> {
  return Number((await info(paths, owner, signal))['virtual-size']);
}

async function info(paths: MachinePaths, owner: DiskOwner, signal: AbortSignal) {
  const args = ['info', '--output=json', DISK_ALONE];
  return JSON.parse(await img(paths, owner, args, signal)) as Readonly<Record<string, unknown>>;
}

/** Runs qemu-img in the machine's own directory, with the rights of the machine's user. */
async function img(
  paths: MachinePaths,
  { uid }: DiskOwner,
  args: readonly string[],
  signal: AbortSignal,
): Promise<string> {
  const [file, ...rest] = [...(uid === undefined ? [] : asUser(uid)), QEMU_IMG, ...args] as [
    string,
    ...string[],
  ];
  const ran = await run(file, rest, { cwd: paths.vm, env: TOOL_ENV, signal, timeoutMs: IMG_MS });
  if (ran.code === 0) return ran.stdout;
  const words = ran.stderr.trim().slice(0, 1000);
  const metadata = { vm: paths.name, tool: QEMU_IMG };
  if (/No space left|Disk quota/i.test(words)) {
    const message = `the host's disk is full: the disk of ${paths.name} was not changed; make room and try again`;
    throw new HubError('DISK_FULL', message, { metadata });
  }
  throw new HubError('VM_FAILED', `the disk of ${paths.name} cannot be used: ${words}`, { metadata });
}

function asUser(uid: number): readonly string[] {
  const user = [`--reuid=${uid}`, `--regid=${uid}`, '--clear-groups'];
  return ['setpriv', ...user, '--no-new-privs', '--inh-caps=-all', '--bounding-set=-all', '--'];
}
