import { onAbort } from './abort.js';
import { deferred } from './deferred.js';

/** Wakes one waiter: stays rung until it is reset, so that no ring is missed. */
export class Bell {
  private bell = deferred();

  constructor(private readonly signal: AbortSignal) {}

  /** Something happened. */
  ring(): void {
    this.bell.resolve();
  }

  /** Call before looking for what happened. */
  reset(): void {
    this.bell = deferred();
  }

  /** Resolves once rung. @throws the signal's reason. */
  async wait(): Promise<void> {
    const bell = this.bell;
    using _ = onAbort(this.signal, () => bell.resolve());
    await bell.promise;
    this.signal.throwIfAborted();
  }
}
