import { randomUUID } from 'node:crypto';
import { mkdir, readdir, readFile, rm, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { systemClock } from '../../base/clock.js';
import { isErrno } from '../../base/errno.js';
import { isLock, type LockFile, takeLock } from '../../base/lock-file.js';
import { HubError } from '../../model/hub-error.js';

/** What is not an image yet, or no more. */
export const DRAFT_PREFIX = 'draft-';

const NAMES_LOCK = '.names.lock';
const DRAFT_LOCK = '.draft.lock';
/** Changes of the index take moments; checking a replaced image takes seconds. */
const LOCK_WAIT_MS = 30_000;
const POLL_MS = 25;

/** Does something while no other process changes the store's names. */
export async function withStoreLock<T>(dir: string, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  const lock = await waitForLock(dir, signal);
  try {
    return await work();
  } finally {
    await lock.close();
  }
}

/**
 * Lends a new directory in the store to one maker of an image, and removes it afterwards. There is one maker at a
 * time, so what earlier ones left behind when they were killed is removed first.
 *
 * @throws HubError ILLEGAL_STATE while another process makes an image in this store; DISK_FULL.
 */
export async function withDraft<T>(dir: string, work: (draft: string) => Promise<T>): Promise<T> {
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const lock = await takeLock(join(dir, DRAFT_LOCK));
  if (!isLock(lock)) {
    const message = `another process (pid ${lock.pid}) makes an image in ${dir}; wait for it or end it`;
    throw new HubError('ILLEGAL_STATE', message, { metadata: { pid: String(lock.pid) } });
  }
  const draft = join(dir, `${DRAFT_PREFIX}${randomUUID()}`);
  try {
    await removeDrafts(dir);
    await mkdir(draft, { mode: 0o755 });
    return await work(draft);
  } catch (err) {
    if (!isErrno(err, 'ENOSPC', 'EDQUOT')) throw err;
    const message = `no room left for the image in ${dir}; free some and try again`;
    throw new HubError('DISK_FULL', message, { cause: err });
  } finally {
    await removeTree(draft).finally(() => lock.close());
  }
}

/**
 * Refuses to begin what cannot be finished.
 *
 * @throws HubError DISK_FULL with the numbers.
 */
export async function refuseWithoutRoom(dir: string, neededBytes: number): Promise<void> {
  const { bavail, bsize } = await statfs(dir);
  const free = bavail * bsize;
  if (free >= neededBytes) return;
  const mib = (bytes: number) => `${Math.floor(bytes / 1024 ** 2)} MiB`;
  const message = `the image takes ${mib(neededBytes)} while it is made, and ${dir} has ${mib(free)} free; make room, or set VM_AGENT_HOME to a larger disk`;
  throw new HubError('DISK_FULL', message, { metadata: { freeBytes: String(free) } });
}

async function waitForLock(dir: string, signal: AbortSignal): Promise<LockFile> {
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const deadline = systemClock.monotonic() + LOCK_WAIT_MS;
  for (;;) {
    const lock = await takeLock(join(dir, NAMES_LOCK));
    if (isLock(lock)) return lock;
    if (systemClock.monotonic() >= deadline) {
      const message = `the images in ${dir} are held by another process (pid ${lock.pid})`;
      throw new HubError('DEADLINE_EXCEEDED', message, { metadata: { pid: String(lock.pid) } });
    }
    await systemClock.sleep(POLL_MS, signal);
  }
}

async function removeDrafts(dir: string): Promise<void> {
  for (const name of await readdir(dir)) {
    if (name.startsWith(DRAFT_PREFIX)) await removeTree(join(dir, name));
  }
}

/** Removes a tree, unless something is mounted in it: that could be the host's own files. */
async function removeTree(path: string): Promise<void> {
  const mounts = await readFile('/proc/self/mountinfo', 'utf8').catch(() => '');
  // The kernel writes a space as \040 there.
  const prefix = `${path.replaceAll(' ', '\\040')}/`;
  const below = mounts.split('\n').find((line) => (line.split(' ')[4] ?? '').startsWith(prefix));
  if (below !== undefined) {
    const message = `something is mounted below ${path}; unmount it, then remove that directory`;
    throw new HubError('ILLEGAL_STATE', message, { metadata: { path } });
  }
  await rm(path, { recursive: true, force: true });
}
