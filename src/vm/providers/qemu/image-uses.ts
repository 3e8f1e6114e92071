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
