import { resolve } from 'node:path';
import { messageOf } from '../../base/errno.js';
import type { FileReadSpec, FileWriteSpec } from '../../model/task.js';
import { type Ending, type ExecutorContext, TaskFailure } from './executor.js';
import { filesOf } from './files.js';
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
  const path = resolve(workingDirectory(ctx, spec), filePath);
  const data = await failing(() => filesOf(ctx).read(path, MAX_READ_BYTES + 1));
  if (data.length > MAX_READ_BYTES)
    throw new TaskFailure('FILE_TOO_LARGE', `${path} is larger than ${MAX_READ_BYTES} bytes`);
  const content = data.toString(encoding);
  if (content.length > MAX_CONTENT_CHARACTERS || Buffer.byteLength(content) > MAX_CONTENT_CHARACTERS)
    throw new TaskFailure('NOT_TEXT', `${filePath} is not UTF-8 text; read it with the encoding base64`);
  return { state: 'SUCCEEDED', reason: 'EXITED', result: { filePath, content, encoding, size: data.length } };
}

/** Runs `file:write`: makes the directories; nobody sees half of the file. */
export async function runFileWrite(ctx: ExecutorContext, spec: FileWriteSpec): Promise<Ending> {
  const { filePath, encoding } = spec;
  const data = Buffer.from(spec.content, encoding);
  await failing(() => filesOf(ctx).write(resolve(workingDirectory(ctx, spec), filePath), data));
  return { state: 'SUCCEEDED', reason: 'EXITED', result: { filePath, encoding, size: data.length } };
}

async function failing<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (err) {
    const reason = err instanceof Error ? REASONS[(err as NodeJS.ErrnoException).code ?? ''] : undefined;
    throw reason === undefined ? err : new TaskFailure(reason, messageOf(err));
  }
}
