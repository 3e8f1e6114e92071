import { chmod, mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { missingIsEmpty, writePrivate } from '../../../base/files.js';
import type { MachineSpec } from '../../provider.js';

/** Where the parts of one machine lie on the host. */
export interface MachinePaths {
  readonly name: string;
  readonly dir: string;
  /** Says that this provider made the directory, and how. */
  readonly marker: string;
  /** The machine's own files: `opt`, `srv`, `tmp`, `home`. This is what snapshots hold. */
  readonly root: string;
  /** What the machine's /mnt shows: agent's state, config and secret, console. Not in snapshots. */
  readonly mnt: string;
  readonly snapshots: string;
  /** Identity of the running machine's first process. */
  readonly pidFile: string;
  /** There while a snapshot holds the machine's processes. */
  readonly frozen: string;
  readonly config: string;
  readonly secret: string;
  readonly state: string;
  readonly console: string;
}

/** Own directories of a machine below `root`, with their modes. */
export const ROOT_PARTS = { opt: 0o755, srv: 0o755, tmp: 0o1777, home: 0o700 } as const;

const MARKER = 'local-machine.json';

/** The places of one machine. */
export function machinePaths(machinesDir: string, name: string): MachinePaths {
  const dir = join(machinesDir, name);
  const mnt = join(dir, 'mnt');
  return {
    name,
    dir,
    marker: join(dir, MARKER),
    root: join(dir, 'root'),
    mnt,
    snapshots: join(dir, 'snapshots'),
    pidFile: join(dir, 'process'),
    frozen: join(dir, 'frozen'),
    config: join(mnt, 'config.json'),
    secret: join(mnt, 'secret'),
    state: join(mnt, 'state'),
    console: join(mnt, 'console.log'),
  };
}

/** Makes the directories of a machine, or completes half-made ones. The marker comes first. */
export async function makeMachineFiles(paths: MachinePaths, spec: MachineSpec): Promise<void> {
  await mkdir(paths.dir, { recursive: true, mode: 0o700 });
  await writePrivate(paths.marker, JSON.stringify({ provider: 'local', format: 1, spec }));
  for (const dir of [paths.root, paths.mnt, paths.snapshots, paths.state]) {
    await mkdir(dir, { recursive: true, mode: 0o700 });
  }
  for (const [part, mode] of Object.entries(ROOT_PARTS)) {
    await mkdir(join(paths.root, part), { recursive: true });
    await chmod(join(paths.root, part), mode);
  }
}

/** The spec that the machine was made from; undefined when the directory is missing or not ours. */
export async function readMarker(paths: MachinePaths): Promise<MachineSpec | undefined> {
  const text = await readFile(paths.marker, 'utf8').catch(() => '');
  try {
    const marker: unknown = JSON.parse(text);
    return isMarker(marker) ? marker.spec : undefined;
  } catch {
    return undefined;
  }
}

/** Names of all machines that carry our marker. */
export async function listMachineNames(machinesDir: string): Promise<readonly string[]> {
  const entries = await readdir(machinesDir, { withFileTypes: true }).catch(missingIsEmpty);
  const names = entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
  const ours = await Promise.all(names.map((name) => readMarker(machinePaths(machinesDir, name))));
  return names.filter((_, i) => ours[i] !== undefined).sort();
}

function isMarker(value: unknown): value is { spec: MachineSpec } {
  if (typeof value !== 'object' || value === null) return false;
  return 'provider' in value && value.provider === 'local' && 'spec' in value;
}
