import type { ImageUses, ListedImage, StoredImage } from '../../src/vm/images/image-store.js';
import { filesOf } from '../../src/vm/images/manifest.js';
import { safe } from './errors.js';
import { table } from './table.js';

/** The table of `vm-agent image list`. */
export function imageTable(rows: readonly ListedImage[], uses: ImageUses): string {
  const lines = rows.map(({ id, names, image, problem }) => [
    names.join(', ') || '(none)',
    id.slice(0, 'sha256-'.length + 12),
    image ? image.manifest.kind : 'BROKEN',
    image ? mebibytes(sizeOf(image)) : '',
    image ? mebibytes(image.manifest.virtualSizeBytes) : '',
    image ? new Date(image.manifest.createMs).toISOString() : '',
    (uses.get(id) ?? []).join(', '),
    image ? image.manifest.description : (problem ?? ''),
  ]);
  const head = ['Name', 'Id', 'Kind', 'Size', 'Disk', 'Created', 'Used by', 'Description'];
  return table(head, lines);
}

/** What is said about an image that was just made. */
export function imageSummary(image: StoredImage): string {
  const { name, id, virtualSizeBytes } = image.manifest;
  const sizes = `${mebibytes(sizeOf(image))}, disk from ${mebibytes(virtualSizeBytes)}`;
  return safe(`${name}  ${id}  (${sizes})\n`);
}

/** One image for programs. */
export function jsonOfImage(image: StoredImage) {
  const { manifest, dir } = image;
  return { ...manifest, sizeBytes: sizeOf(image), dir };
}

/** One row of the list for programs. */
export function jsonOfRow({ id, names, image, problem }: ListedImage, uses: ImageUses) {
  const usedBy = uses.get(id) ?? [];
  return image ? { ...jsonOfImage(image), names, usedBy } : { id, names, usedBy, problem };
}

function sizeOf({ manifest }: StoredImage): number {
  return filesOf(manifest).reduce((sum, [, file]) => sum + file.bytes, 0);
}

function mebibytes(bytes: number): string {
  return `${Math.round(bytes / 2 ** 20)} MiB`;
}
