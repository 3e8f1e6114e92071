import type { Clock } from '../base/clock.js';
import { HubError } from '../model/hub-error.js';

/** What an operation is called in messages, and how long it may take. */
export interface Limit {
  /** Such as `start of dev`. */
  readonly what: string;
  readonly deadlineMs: number;
}

/**
 * Runs work with a signal that aborts with any of `signals` or when the time is over. Waits for the work to end.
 *
 * @throws HubError DEADLINE_EXCEEDED naming the work, or the reason of the signal that aborted.
 */
export async function withDeadline<T>(
  clock: Clock,
  limit: Limit,
  signals: readonly AbortSignal[],
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const late = new AbortController();
  const timer = clock.after(limit.deadlineMs, () => {
    const message = `the ${limit.what} took longer than ${limit.deadlineMs / 1000} s`;
    late.abort(new HubError('DEADLINE_EXCEEDED', message, { metadata: { operation: limit.what } }));
  });
  try {
    const signal = AbortSignal.any([...signals, late.signal]);
    signal.throwIfAborted();
    return await work(signal);
  } finally {
    timer[Symbol.dispose]();
  }
}
