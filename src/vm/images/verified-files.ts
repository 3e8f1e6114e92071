import { createHash } from 'node:crypto';
import { type BigIntStats, createReadStream } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { writeDurably } from '../../base/durable-file.js';
import { isErrno } from '../../base/errno.js';
import type { ImageFile } from './manifest.js';

const FILE = 'verified.json';

/**
 * Checks files against their hashes. What was read once and whose size, times and inode are unchanged is not read
 * again; that is remembered beside the images. Losing the memory only costs time.
 */
export class VerifiedFiles {
  private known: Map<string, string> | undefined;

  /** @param dir directory of the store. */
  constructor(private readonly dir: string) {}

  /** What is wrong with a file of an image, as the end of a sentence about it; undefined when nothing is. */
  async problemOf(id: string, expected: ImageFile, signal: AbortSignal): Promise<string | undefined> {
    const key = join(id, expected.path);
    const found = await statOrMissing(join(this.dir, key));
    if (found === undefined) return 'is missing';
    if (Number(found.size) !== expected.bytes) return `has ${found.size} bytes instead of ${expected.bytes}`;
    // Whoever writes to a file changes its ctime, and cannot set it back.
    const state = [expected.sha256, found.mtimeNs, found.ctimeNs, found.ino, found.dev].join(' ');
    const known = await this.load();
    if (known.get(key) === state) return undefined;
    if ((await hashFile(join(this.dir, key), signal)) !== expected.sha256) return 'is not what it was';
    known.set(key, state);
    await this.save(known);
    return undefined;
  }

  /** Forgets the files of an image. */
  async forget(id: string): Promise<void> {
    const known = await this.load();
    const keys = [...known.keys()].filter((key) => key.startsWith(join(id, '/')));
    for (const key of keys) known.delete(key);
    if (keys.length > 0) await this.save(known);
  }

  private async load(): Promise<Map<string, string>> {
    if (this.known !== undefined) return this.known;
    const text = await readFile(join(this.dir, FILE), 'utf8').catch(() => '{}');
    this.known = parse(text);
    return this.known;
  }

  /** A store that cannot be written to is still good for reading. */
  private async save(known: ReadonlyMap<string, string>): Promise<void> {
    const text = `${JSON.stringify(Object.fromEntries(known))}\n`;
    await writeDurably(join(this.dir, FILE), text).catch(() => undefined);
  }
}

/** SHA-256 of a file, hex. */
export async function hashFile(path: string, signal: AbortSignal): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path, { signal, highWaterMark: 1024 * 1024 }))
    hash.update(chunk);
  return hash.digest('hex');
}

async function statOrMissing(path: string): Promise<BigIntStats | undefined> {
  try {
    return await stat(path, { bigint: true });
  } catch (err) {
    if (isErrno(err, 'ENOENT', 'ENOTDIR')) return undefined;
    throw err;
  }
}

function parse(text: string): Map<string, string> {
  try {
    const entries = Object.entries(JSON.parse(text) as Record<string, unknown>);
    return new Map(entries.filter((entry): entry is [string, string] => typeof entry[1] === 'string'));
  } catch {
    return new Map();
  }
}
