import { randomUUID } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { completeDraft, describeFile } from '../../src/vm/images/draft-image.js';
import type { ImageStore, StoredImage } from '../../src/vm/images/image-store.js';

/** Puts an image into a store whose files are these texts; no machine could start from it. */
export function addSmallImage(store: ImageStore, name: string, disk = 'a disk'): Promise<StoredImage> {
  return addImageOf(store, name, { 'disk.qcow2': disk, kernel: 'a kernel', initrd: 'an initrd' });
}

/** Puts an image of these files into a store; its disk is as large as the smallest. */
export async function addImageOf(
  store: ImageStore,
  name: string,
  files: Readonly<Record<'disk.qcow2' | 'kernel' | 'initrd', string | Buffer>>,
): Promise<StoredImage> {
  const signal = new AbortController().signal;
  const draft = join(store.dir, `draft-${randomUUID()}`);
  await mkdir(draft, { recursive: true });
  for (const [path, content] of Object.entries(files)) await writeFile(join(draft, path), content);
  const manifest = await completeDraft(draft, {
    schema: 1,
    name,
    kind: 'direct',
    arch: 'x86_64',
    createMs: Date.now(),
    description: 'small',
    virtualSizeBytes: 4096,
    suite: 'bookworm',
    packages: [],
    files: {
      disk: await describeFile(draft, 'disk.qcow2', signal),
      kernel: await describeFile(draft, 'kernel', signal),
      initrd: await describeFile(draft, 'initrd', signal),
    },
  });
  return store.add(draft, manifest, signal);
}
