import { mkdir, open, readFile, rename, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { isErrno } from '../base/errno.js';
import { newSecret } from './secret.js';

const TOKEN_PATTERN = /^[0-9a-f]{64}$/;

/**
 * The admin token of a home, made at the first start. A file that others could read, or that holds no token, is
 * replaced by a new one. Call it while holding the home's lock.
 */
export async function ensureTokenFile(path: string): Promise<string> {
  const present = await readTokenFile(path);
  if (present !== undefined && (await isPrivate(path))) return present;
  const token = newSecret();
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const half = `${path}.new`;
  const file = await open(half, 'w', 0o600);
  try {
    await file.chmod(0o600);
    await file.writeFile(`${token}\n`);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(half, path);
  return token;
}

/** The admin token in a file; undefined when there is none or it cannot be read. For clients of the same user. */
export async function readTokenFile(path: string): Promise<string | undefined> {
  try {
    const text = (await readFile(path, 'utf8')).trim();
    return TOKEN_PATTERN.test(text) ? text : undefined;
  } catch (err) {
    if (isErrno(err, 'ENOENT', 'EACCES', 'ENOTDIR')) return undefined;
    throw err;
  }
}

async function isPrivate(path: string): Promise<boolean> {
  return ((await stat(path)).mode & 0o077) === 0;
}
