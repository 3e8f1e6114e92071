import { constants } from 'node:fs';
import { open, rename, rm, writeFile } from 'node:fs/promises';
import { isErrno } from './errno.js';

/** Writes a 0600 file as a whole: a reader sees the old text or the new one. */
export async function writePrivate(path: string, data: string | Buffer): Promise<void> {
  const partial = `${path}.partial`;
  await rm(partial, { force: true });
  await writeFile(partial, data, { mode: 0o600, flag: 'wx' });
  await rename(partial, path);
}

/** The last bytes of a file that may grow, at most `bytes`; empty when there is none. Follows no symbolic link. */
export async function readTail(path: string, bytes: number): Promise<string> {
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW).catch(() => undefined);
  if (file === undefined) return '';
  try {
    const { size } = await file.stat();
    const length = Math.min(size, bytes);
    const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, size - length);
    return buffer.toString('utf8', 0, bytesRead);
  } finally {
    await file.close();
  }
}

/** For directories that need not be there. */
export function missingIsEmpty(err: unknown): never[] {
  if (isErrno(err, 'ENOENT', 'ENOTDIR')) return [];
  throw err;
}
