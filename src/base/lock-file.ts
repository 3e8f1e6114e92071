import { randomUUID } from 'node:crypto';
import { link, readFile, rename, rm, unlink, writeFile } from 'node:fs/promises';
import { isErrno } from './errno.js';
import { isAlive } from './process.js';
import { readProcess } from './process-table.js';

/** Who holds a lock. */
export interface LockHolder {
  readonly pid: number;
  /** Start of the process in clock ticks since boot, where the host tells; tells a reused pid apart. */
  readonly startTicks?: number;
}

/** A lock that is held. */
export interface LockFile {
  /** Gives the lock back. Idempotent. */
  close(): Promise<void>;
}

/** Rounds against others that take the same stale lock. */
const MAX_ROUNDS = 5;

/**
 * Takes a lock file for this process. A lock whose process is dead is taken over.
 *
 * @returns the lock, or the living process that holds it.
 */
export async function takeLock(path: string): Promise<LockFile | LockHolder> {
  const startTicks = (await readProcess(process.pid).catch(() => undefined))?.startTicks;
  const me: LockHolder = { pid: process.pid, ...(startTicks === undefined ? {} : { startTicks }) };
  for (let round = 0; round < MAX_ROUNDS; round += 1) {
    if (await place(path, me)) return { close: () => giveBack(path, me) };
    const holder = await lockHolder(path);
    if (holder) return holder;
    await clearStale(path);
  }
  throw new Error(`the lock file ${path} changes too often`);
}

/** Whether {@link takeLock} got the lock. */
export function isLock(result: LockFile | LockHolder): result is LockFile {
  return 'close' in result;
}

/** The living process that holds a lock; undefined when there is none. */
export async function lockHolder(path: string): Promise<LockHolder | undefined> {
  const holder = parse(await readFile(path, 'utf8').catch(() => ''));
  if (!holder || !isAlive(holder.pid)) return undefined;
  const row = await readProcess(holder.pid).catch(() => undefined);
  const reused = row !== undefined && holder.startTicks !== undefined && row.startTicks !== holder.startTicks;
  return reused ? undefined : holder;
}

/** Puts a complete file in place, or nothing: `link` fails when the name is taken. */
async function place(path: string, me: LockHolder): Promise<boolean> {
  const draft = `${path}.${randomUUID()}`;
  try {
    await writeFile(draft, JSON.stringify(me), { mode: 0o600 });
    await link(draft, path);
    return true;
  } catch (err) {
    if (isErrno(err, 'EEXIST')) return false;
    throw err;
  } finally {
    await rm(draft, { force: true });
  }
}

/** Moves a stale lock away. When it turns out to be somebody's new lock, it is put back. */
async function clearStale(path: string): Promise<void> {
  const aside = `${path}.${randomUUID()}`;
  try {
    await rename(path, aside);
  } catch (err) {
    if (isErrno(err, 'ENOENT')) return;
    throw err;
  }
  if (await lockHolder(aside)) await link(aside, path).catch(() => {});
  await unlink(aside);
}

async function giveBack(path: string, me: LockHolder): Promise<void> {
  const holder = parse(await readFile(path, 'utf8').catch(() => ''));
  if (holder?.pid === me.pid && holder.startTicks === me.startTicks) await unlink(path).catch(() => {});
}

function parse(text: string): LockHolder | undefined {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== 'object' || value === null || !('pid' in value)) return undefined;
    const { pid, startTicks } = value as { pid: unknown; startTicks?: unknown };
    if (typeof pid !== 'number' || !Number.isInteger(pid) || pid <= 0) return undefined;
    return typeof startTicks === 'number' ? { pid, startTicks } : { pid };
  } catch {
    return undefined;
  }
}
