import { type Clock, systemClock } from '../../src/base/clock.js';

/** The machine's clock, which a test can make jump: the wall clock as it likes, the monotonic one forwards. */
export class JumpingClock implements Clock {
  private wallMs = 0;
  private monotonicMs = 0;

  now(): number {
    return systemClock.now() + this.wallMs;
  }

  monotonic(): number {
    return systemClock.monotonic() + this.monotonicMs;
  }

  readonly sleep = systemClock.sleep;
  readonly after = systemClock.after;

  /** Somebody sets the wall clock. */
  setWall(byMs: number): void {
    this.wallMs += byMs;
  }

  /** Time passes in which this process does nothing. */
  standStill(ms: number): void {
    this.wallMs += ms;
    this.monotonicMs += ms;
  }
}
