import { closeSync, existsSync, openSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';

/** A longer path of a unix socket is cut without an error. */
const MAX_BYTES = 100;

/** Another path to the same place, valid until it is closed. */
export interface ShortPath extends Disposable {
  readonly path: string;
}

/**
 * A path that is short enough for a unix socket: through a descriptor of its directory when it is too long.
 *
 * @throws Error when it is too long and the host has no /proc, or the directory is missing.
 */
export function shortPath(path: string): ShortPath {
  if (Buffer.byteLength(path) <= MAX_BYTES) return { path, [Symbol.dispose]: () => {} };
  if (!existsSync('/proc/self/fd')) throw new Error(`the path ${path} is too long for a unix socket`);
  const fd = openSync(dirname(path), 'r');
  return { path: join('/proc/self/fd', String(fd), basename(path)), [Symbol.dispose]: () => closeSync(fd) };
}
