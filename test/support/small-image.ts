import { randomUUID } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { completeDraft, describeFile } from '../../src/vm/images/draft-image.js';
import type { ImageStore, StoredImage } from '../../src/vm/images/image-store.js';

/** Puts an image into a store whose files are these texts; no machine could start from it. */
export async function addSmallImage(store: ImageStore, name: string, disk = 'a disk'): Promise<StoredImage> {
  const signal = new AbortController().signal;
  const draft = join(store.dir, `draft-${randomUUID()}`);
  await mkdir(draft, { recursive: true });
  const texts = { 'disk.qcow2': disk, kernel: 'a kernel', initrd: 'an initrd' };
  for (const [path, text] of Object.entries(texts)) await writeFile(join(draft, path), text);
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
