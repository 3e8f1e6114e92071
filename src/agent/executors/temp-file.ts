import { open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { freshId } from '../../base/fresh-id.js';
import type { ExecutorContext } from './executor.js';

/** What {@link withTempFile} writes. */
export interface TempFile {
  readonly suffix: string;
  readonly content: string;
  readonly mode: number;
}

/** Lets work use a private file of the user that tasks run as, and removes it. */
export async function withTempFile<T>(
  { tempDir, user }: Pick<ExecutorContext, 'tempDir' | 'user'>,
  { suffix, content, mode }: TempFile,
  work: (path: string) => Promise<T>,
): Promise<T> {
  const path = join(tempDir, `${freshId()}${suffix}`);
  try {
    const handle = await open(path, 'wx', mode);
    try {
      await handle.writeFile(content);
      if (user !== undefined) await handle.chown(user.uid, user.gid);
    } finally {
      await handle.close();
    }
    return await work(path);
  } finally {
    await rm(path, { force: true });
  }
}
