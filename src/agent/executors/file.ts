import { randomUUID } from 'node:crypto';
import { constants, type Stats } from 'node:fs';
import { chmod, type FileHandle, mkdir, open, rename, rm, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { isErrno, messageOf } from '../../base/errno.js';
import type { FileReadSpec, FileWriteSpec } from '../../model/task.js';
import { type Ending, type ExecutorContext, TaskFailure } from './executor.js';
import { workingDirectory } from './run-argv.js';

/** Most bytes that `file:read` answers. */
export const MAX_READ_BYTES = 1024 * 1024;

/** Bytes that are not text grow when they are replaced; base64 makes four of three. */
const MAX_CONTENT_CHARACTERS = 1_500_000;

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'FILE_NOT_FOUND',
  ENOTDIR: 'FILE_NOT_FOUND',
  EACCES: 'FILE_NOT_ALLOWED',
  EPERM: 'FILE_NOT_ALLOWED',
  EROFS: 'FILE_NOT_ALLOWED',
  EISDIR: 'NOT_A_FILE',
  ELOOP: 'NOT_A_FILE',
  ENXIO: 'NOT_A_FILE',
  ENOSPC: 'DISK_FULL',
  EDQUOT: 'DISK_FULL',
  ENAMETOOLONG: 'INVALID_ARGUMENT',
};

/** Runs `file:read`: a regular file of at most {@link MAX_READ_BYTES}, never one that would block. */
export async function runFileRead(ctx: ExecutorContext, spec: FileReadSpec): Promise<Ending> {
  const { filePath, encoding } = spec;
  const data = await failing(() => readRegular(resolve(workingDirectory(ctx, spec), filePath)));
  const content = data.toString(encoding);
  if (content.length > MAX_CONTENT_CHARACTERS || Buffer.byteLength(content) > MAX_CONTENT_CHARACTERS)
    throw new TaskFailure('NOT_TEXT', `${filePath} is not UTF-8 text; read it with the encoding base64`);
  return { state: 'SUCCEEDED', reason: 'EXITED', result: { filePath, content, encoding, size: data.length } };
}

/** Runs `file:write`: makes the directories, writes beside the file and renames, so that nobody sees half of it. */
export async function runFileWrite(ctx: ExecutorContext, spec: FileWriteSpec): Promise<Ending> {
  const { filePath, encoding } = spec;
  const data = Buffer.from(spec.content, encoding);
  await failing(() => writeWhole(resolve(workingDirectory(ctx, spec), filePath), data));
  return { state: 'SUCCEEDED', reason: 'EXITED', result: { filePath, encoding, size: data.length } };
}

async function readRegular(path: string): Promise<Buffer> {
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;
  const handle = await open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  try {
    const found = await handle.stat();
    if (!found.isFile()) throw new TaskFailure('NOT_A_FILE', `${path} is not a regular file`);
    return await readAtMost(handle, path);
  } finally {
    await handle.close();
  }
}

/** Reads by itself and not by the size in the stat: files of /proc say 0, and others may grow. */
async function readAtMost(handle: FileHandle, path: string): Promise<Buffer> {
  const buffer = Buffer.alloc(MAX_READ_BYTES + 1);
  let length = 0;
  for (;;) {
    const { bytesRead } = await handle.read(buffer, length, buffer.length - length);
    length += bytesRead;
    if (length > MAX_READ_BYTES)
      throw new TaskFailure('FILE_TOO_LARGE', `${path} is larger than ${MAX_READ_BYTES} bytes`);
    if (bytesRead === 0) return buffer.subarray(0, length);
  }
}

async function writeWhole(path: string, data: Buffer): Promise<void> {
  const before = await statIfThere(path);
  if (before !== undefined && !before.isFile())
    throw new TaskFailure('NOT_A_FILE', `${path} is there and is not a regular file`);
  await mkdir(dirname(path), { recursive: true });
  const next = `${path}.${randomUUID()}.tmp`;
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

async function failing<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (err) {
    const reason = err instanceof Error ? REASONS[(err as NodeJS.ErrnoException).code ?? ''] : undefined;
    throw reason === undefined ? err : new TaskFailure(reason, messageOf(err));
  }
}
