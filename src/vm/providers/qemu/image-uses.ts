import type { ImageUses } from '../../images/image-store.js';
import { listRecords, qemuMachinesDir } from './machine-record.js';

/**
 * Which machines use which image, from their records; a hub need not run.
 *
 * @param dir Directory of everything of the provider, below the home.
 */
export async function imageUses(dir: string): Promise<ImageUses> {
  const uses = new Map<string, string[]>();
  for (const [name, { image }] of await listRecords(qemuMachinesDir(dir))) {
    uses.set(image, [...(uses.get(image) ?? []), name].sort());
  }
  return uses;
}

/** Runtime disks that machines run with, or wake with, from their records. */
export async function runtimeDiskUses(dir: string): Promise<ReadonlySet<string>> {
  const records = [...(await listRecords(qemuMachinesDir(dir)))].map(([, record]) => record);
  const hardware = records.flatMap((record) => [record, ...record.snapshots].map((one) => one.hardware));
  return new Set(hardware.flatMap((one) => (one === undefined ? [] : [one.runtime])));
}
