import { onAbort } from '../base/abort.js';
import { type Deferred, deferred } from '../base/deferred.js';

/**
 * A value that changes faster than it is read: the reader always gets the newest, so nothing piles up.
 */
export class Latest<T> {
  private value: { readonly item: T } | undefined;
  private wake: Deferred<void> | undefined;

  set(item: T): void {
    this.value = { item };
    this.wake?.resolve();
  }

  /** The newest value that was not read yet; waits for one. @throws the signal's reason. */
  async next(signal: AbortSignal): Promise<T> {
    for (;;) {
      signal.throwIfAborted();
      const value = this.value;
      this.value = undefined;
      if (value) return value.item;
      await this.woken(signal);
    }
  }

  private async woken(signal: AbortSignal): Promise<void> {
    const wake = deferred();
    this.wake = wake;
    using _ = onAbort(signal, () => wake.resolve());
    await wake.promise;
  }
}
