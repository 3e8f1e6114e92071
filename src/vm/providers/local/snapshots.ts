import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { missingIsEmpty, writePrivate } from '../../../base/files.js';
import { HubError } from '../../../model/hub-error.js';
import { isName } from '../../../model/names.js';
import type { Snapshot } from '../../../model/vm.js';
import type { MachinePaths } from './machine-files.js';
import type { Trees } from './trees.js';

const MANIFEST = 'snapshot.json';

/** Copies of a machine's files, one directory each. A name with `.partial` is never complete. */
export class SnapshotFiles {
  constructor(private readonly trees: Trees) {}

  /** Oldest first. */
  async list(paths: MachinePaths): Promise<readonly Snapshot[]> {
    const names = (await readdir(paths.snapshots).catch(missingIsEmpty)).filter(isName);
    const found = await Promise.all(names.map((name) => readManifest(join(paths.snapshots, name))));
    return found.filter((item) => item !== undefined).sort((a, b) => a.createMs - b.createMs);
  }

  /** @throws HubError SNAPSHOT_EXISTS, DISK_FULL, VM_FAILED. Nothing is left when it fails. */
  async take(
    paths: MachinePaths,
    snapshot: Omit<Snapshot, 'sizeBytes'>,
    signal: AbortSignal,
  ): Promise<Snapshot> {
    const target = join(paths.snapshots, snapshot.name);
    const partial = `${target}.partial`;
    try {
      await mkdir(partial, { mode: 0o700 });
      await this.trees.copy(paths.root, join(partial, 'root'), signal);
      const sizeBytes = await this.trees.size(join(partial, 'root'), signal);
      await writePrivate(join(partial, MANIFEST), JSON.stringify({ ...snapshot, sizeBytes }));
      await rename(partial, target);
      return { ...snapshot, sizeBytes };
    } catch (err) {
      await this.trees.remove([partial], new AbortController().signal);
      throw err;
    }
  }

  /** Makes the machine's files those of the snapshot again. The old ones stay until the new ones are complete. */
  async restore(paths: MachinePaths, name: string, signal: AbortSignal): Promise<void> {
    await this.settle(paths, signal);
    const partial = `${paths.root}.partial`;
    await this.trees.copy(join(paths.snapshots, name, 'root'), partial, signal);
    await rename(paths.root, `${paths.root}.old`);
    await rename(partial, paths.root);
    await this.settle(paths, signal);
  }

  /** Completes or undoes a restore that was interrupted, and removes half-made snapshots. */
  async settle(paths: MachinePaths, signal: AbortSignal): Promise<void> {
    const [old, partial] = [`${paths.root}.old`, `${paths.root}.partial`];
    if (!existsSync(paths.root) && existsSync(old)) await rename(old, paths.root);
    const entries = await readdir(paths.snapshots).catch(missingIsEmpty);
    const halves = entries.filter((entry) => entry.endsWith('.partial'));
    const waste = [old, partial, ...halves.map((entry) => join(paths.snapshots, entry))];
    const there = waste.filter((path) => existsSync(path));
    if (there.length > 0) await this.trees.remove(there, signal);
  }

  async remove(paths: MachinePaths, name: string, signal: AbortSignal): Promise<void> {
    const target = join(paths.snapshots, name);
    await rename(target, `${target}.partial`);
    await this.trees.remove([`${target}.partial`], signal);
  }
}

/** The refusal of a snapshot that is not there; names those that are. */
export function snapshotNotFound(agent: string, name: string, known: readonly Snapshot[]): HubError {
  const names = known.map((snapshot) => snapshot.name).join(', ');
  const message = `${agent} has no snapshot ${name}; ${names ? `it has: ${names}` : 'it has none'}`;
  return new HubError('SNAPSHOT_NOT_FOUND', message, { metadata: { agent, snapshot: name, known: names } });
}

async function readManifest(dir: string): Promise<Snapshot | undefined> {
  const text = await readFile(join(dir, MANIFEST), 'utf8').catch(() => undefined);
  return text === undefined ? undefined : (JSON.parse(text) as Snapshot);
}
