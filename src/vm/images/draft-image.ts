import { chmod, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { filesOf, type ImageFile, type ImageManifest, imageId, MANIFEST_FILE } from './manifest.js';
import { hashFile } from './verified-files.js';

/** Name of the disk in an image. */
export const DISK_FILE = 'disk.qcow2';

/** A file of an image that is not in the store yet. */
export async function describeFile(dir: string, path: string, signal: AbortSignal): Promise<ImageFile> {
  const { size } = await stat(join(dir, path));
  return { path, sha256: await hashFile(join(dir, path), signal), bytes: size };
}

/** Completes a directory that holds the files of an image: nobody writes to them any more. */
export async function completeDraft(dir: string, facts: Omit<ImageManifest, 'id'>): Promise<ImageManifest> {
  const manifest: ImageManifest = { ...facts, id: imageId(facts) };
  const path = join(dir, MANIFEST_FILE);
  await writeFile(path, `${JSON.stringify(manifest, null, 2)}\n`);
  for (const [, file] of filesOf(manifest)) await chmod(join(dir, file.path), 0o444);
  await chmod(path, 0o444);
  return manifest;
}
