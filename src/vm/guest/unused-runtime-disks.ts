import { readdir, readFile, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';

const DISK = /^sha256-[0-9a-f]{64}$/;
const INDEX = 'inputs-';

/**
 * Removes runtime disks of earlier versions. Machines that run see theirs, and memory of a snapshot wakes with its own
 * only, so those in use stay.
 *
 * @param dir Directory of all runtime disks.
 * @param used Paths of disks in use.
 */
export async function removeUnusedDisks(dir: string, used: ReadonlySet<string>): Promise<void> {
  const kept = new Set([...used].filter((path) => path.startsWith(dir)).map((path) => dirname(path)));
  const names = await readdir(dir);
  for (const name of names.filter((entry) => DISK.test(entry) && !kept.has(join(dir, entry))))
    await rm(join(dir, name), { recursive: true, force: true });
  for (const name of names.filter((entry) => entry.startsWith(INDEX))) {
    const id = await readFile(join(dir, name), 'utf8').catch(() => '');
    if (!kept.has(join(dir, id))) await rm(join(dir, name), { force: true });
  }
}
