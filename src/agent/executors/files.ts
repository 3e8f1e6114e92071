import { constants, type Stats } from 'node:fs';
import { chmod, type FileHandle, mkdir, open, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { isErrno } from '../../base/errno.js';
import { freshId } from '../../base/fresh-id.js';
import type { ExecutorContext } from './executor.js';
import { UserFiles } from './user-files.js';

/**
 * What tasks do with files, with the rights of the user that they run as. All of it throws system errors (`code`);
 * what is there and is not a regular file is ENXIO.
 */
export interface Files {
  /** At most so many bytes of a regular file; never blocks on one that is not. */
  read(path: string, maxBytes: number): Promise<Buffer>;
  /** Makes the directories, writes beside the file and renames, so that nobody sees half of it. */
  write(path: string, data: Buffer): Promise<void>;
  makeDirectory(path: string): Promise<void>;
  rename(from: string, to: string): Promise<void>;
  /** Removes a tree; none is fine. */
  remove(path: string): Promise<void>;
}

/** Files as the user of a task reaches them. */
export function filesOf({ user }: Pick<ExecutorContext, 'user'>): Files {
  return user === undefined ? OWN_FILES : new UserFiles(user);
}

/** With the rights of this process. */
const OWN_FILES: Files = {
  read: readRegular,
  write: writeWhole,
  rename,
  makeDirectory: async (path) => void (await mkdir(path, { recursive: true })),
  remove: (path) => rm(path, { recursive: true, force: true }),
};

/** The error for what is there and is no regular file. */
export function notAFile(path: string): Error {
  return Object.assign(new Error(`${path} is not a regular file`), { code: 'ENXIO' });
}

async function readRegular(path: string, maxBytes: number): Promise<Buffer> {
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;
  const handle = await open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  try {
    if (!(await handle.stat()).isFile()) throw notAFile(path);
    return await readAtMost(handle, maxBytes);
  } finally {
    await handle.close();
  }
}

/** Reads by itself and not by the size in the stat: files of /proc say 0, and others may grow. */
async function readAtMost(handle: FileHandle, maxBytes: number): Promise<Buffer> {
  const buffer = Buffer.alloc(maxBytes);
  let length = 0;
  for (;;) {
    const { bytesRead } = await handle.read(buffer, length, buffer.length - length);
    length += bytesRead;
    if (bytesRead === 0) return buffer.subarray(0, length);
  }
}

async function writeWhole(path: string, data: Buffer): Promise<void> {
  const before = await statIfThere(path);
  if (before !== undefined && !before.isFile()) throw notAFile(path);
  await mkdir(dirname(path), { recursive: true });
  const next = `${path}.${freshId()}.tmp`;
  try {
    const handle = await open(next, 'wx', 0o666);
    try {
      await handle.writeFile(data);
      await handle.sync();
    } finally {
      await handle.close();
    }
    if (before !== undefined) await chmod(next, before.mode & 0o7777);
    await rename(next, path);
  } finally {
    await rm(next, { force: true });
  }
}

async function statIfThere(path: string): Promise<Stats | undefined> {
  try {
    return await stat(path);
  } catch (err) {
    if (isErrno(err, 'ENOENT')) return undefined;
    throw err;
  }
}
