import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { writeDurably } from '../../base/durable-file.js';
import { isErrno } from '../../base/errno.js';
import { HubError } from '../../model/hub-error.js';
import { isName } from '../../model/names.js';
import { isImageId } from './manifest.js';

const FILE = 'names.json';

/** Names of images, and what they stand for. */
export type ImageNames = ReadonlyMap<string, string>;

/**
 * Reads the index of names; no file is an empty one.
 *
 * @throws HubError IMAGE_BROKEN when it cannot be read.
 */
export async function readNames(dir: string): Promise<ImageNames> {
  const path = join(dir, FILE);
  try {
    const { names } = JSON.parse(await readFile(path, 'utf8')) as { readonly names?: unknown };
    const entries = Object.entries(names ?? {});
    const good = entries.every(([name, id]) => isName(name) && typeof id === 'string' && isImageId(id));
    if (good) return new Map(entries as [string, string][]);
  } catch (err) {
    if (isErrno(err, 'ENOENT')) return new Map();
    if (!(err instanceof SyntaxError) && !(err instanceof TypeError)) throw err;
  }
  const message = `the index of images ${path} cannot be read; move it away and name the images again by building or importing them`;
  throw new HubError('IMAGE_BROKEN', message, { metadata: { path } });
}

/** Replaces the index of names. */
export async function writeNames(dir: string, names: ImageNames): Promise<void> {
  const sorted = Object.fromEntries([...names].sort(([a], [b]) => (a < b ? -1 : 1)));
  await writeDurably(join(dir, FILE), `${JSON.stringify({ schema: 1, names: sorted }, null, 2)}\n`);
}
