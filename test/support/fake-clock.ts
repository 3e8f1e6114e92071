import type { Clock } from '../../src/base/clock.js';

/** A clock that stands still until the test moves it. Nobody sleeps on it: looks are called by hand. */
export class FakeClock implements Clock {
  private wallMs = 1_800_000_000_000;
  private monotonicMs = 1_000;

  now(): number {
    return this.wallMs;
  }

  monotonic(): number {
    return this.monotonicMs;
  }

  sleep(_ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((_resolve, reject) => {
      const abort = () => reject(signal?.reason);
      if (signal?.aborted) abort();
      else signal?.addEventListener('abort', abort, { once: true });
    });
  }

  after(): Disposable {
    return { [Symbol.dispose]: () => {} };
  }

  /** Time passes. */
  pass(ms: number): void {
    this.wallMs += ms;
    this.monotonicMs += ms;
  }

  /** Somebody sets the wall clock. */
  setWall(byMs: number): void {
    this.wallMs += byMs;
  }

  /** What is stored comes to another process, whose monotonic clock begins anew, after some time. */
  restart(awayMs: number): void {
    this.wallMs += awayMs;
    this.monotonicMs = 5;
  }
}
