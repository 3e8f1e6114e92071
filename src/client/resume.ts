import { Backoff } from '../base/backoff.js';
import { systemClock } from '../base/clock.js';
import { isRetryable } from './call-error.js';
import type { Transport } from './transport.js';

/** How calls and streams outlive a restart of the hub. */
export interface ResumeOptions {
  readonly signal?: AbortSignal;
  /** How long the hub may be away, in milliseconds, before the last error is thrown. */
  readonly windowMs: number;
}

/** A stream that lasted this long had worked, even when it carried nothing. */
const STABLE_MS = 5_000;

/** Decides after each failure whether to try again, and waits. A hub that never answered is not waited for. */
class Patience {
  private readonly backoff = new Backoff({ initialMs: 250, maxMs: 2_000, minMs: 50 });
  private lostAt: number | undefined;
  private openedAt = systemClock.monotonic();

  constructor(
    private readonly transport: Transport,
    private readonly options: ResumeOptions,
  ) {}

  worked(): void {
    this.lostAt = undefined;
    this.backoff.reset();
  }

  async afterFailure(err: unknown): Promise<void> {
    const now = systemClock.monotonic();
    if (now - this.openedAt >= STABLE_MS) this.worked();
    this.lostAt ??= now;
    const over = now - this.lostAt >= this.options.windowMs;
    if (over || !isRetryable(err) || !this.transport.hasConnected) throw err;
    await systemClock.sleep(this.backoff.next(), this.options.signal);
    this.openedAt = systemClock.monotonic();
  }
}

/** Repeats an idempotent call while the hub is away. */
export async function retrying<T>(
  transport: Transport,
  options: ResumeOptions,
  call: () => Promise<T>,
): Promise<T> {
  const patience = new Patience(transport, options);
  for (;;) {
    try {
      return await call();
    } catch (err) {
      await patience.afterFailure(err);
    }
  }
}

/**
 * Opens a stream again behind the `cursor` of the last item taken, so that the reader sees every item once. An item counts as taken
 * when the reader asks for the next one.
 */
export async function* resuming<T extends object>(
  transport: Transport,
  options: ResumeOptions,
  open: (cursor: string) => AsyncIterable<T>,
): AsyncGenerator<T, void, undefined> {
  const patience = new Patience(transport, options);
  let cursor = '';
  for (;;) {
    try {
      for await (const item of open(cursor)) {
        patience.worked();
        yield item;
        if ('cursor' in item && typeof item.cursor === 'string') cursor = item.cursor || cursor;
      }
      return;
    } catch (err) {
      await patience.afterFailure(err);
    }
  }
}
