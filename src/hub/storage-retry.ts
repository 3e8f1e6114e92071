import { Backoff } from '../base/backoff.js';
import { HubError } from '../model/hub-error.js';
import type { HubContext } from './context.js';

/** Waits between two tries on a disk that takes nothing, in milliseconds. */
export const STORAGE_WAITS = { initialMs: 500, maxMs: 4_000, minMs: 250 };

/** Whether an error says that the hub's disk takes nothing now, and may again later. */
export function isStorageDown(err: unknown): boolean {
  return err instanceof HubError && (err.reason === 'DISK_FULL' || err.reason === 'STORE_FAILED');
}

/**
 * Does what has to be stored; while the disk takes nothing it is tried again, a few seconds apart at most. Only for
 * what was promised to nobody yet and must not be lost: callers who can try again themselves are refused instead.
 *
 * @throws the signal's reason; whatever else `work` throws.
 */
export async function untilStored<T>(
  ctx: HubContext,
  signal: AbortSignal,
  work: () => Promise<T>,
): Promise<T> {
  const backoff = new Backoff(STORAGE_WAITS);
  for (;;) {
    try {
      return await work();
    } catch (err) {
      if (!isStorageDown(err)) throw err;
    }
    await ctx.clock.sleep(backoff.next(), signal);
  }
}
