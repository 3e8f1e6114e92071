import { type Deferred, deferred } from './deferred.js';

/**
 * A bounded queue between a producer that cannot wait and one consumer that iterates.
 *
 * `push` answers false once `limit` items wait: the producer decides what that means (drop the consumer,
 * skip, or stop). After `end` the consumer gets what is left and then the end; after `fail` it gets the error
 * at once.
 */
export class AsyncQueue<T> implements AsyncIterable<T> {
  private items: T[] = [];
  private wake: Deferred<void> | undefined;
  private ended = false;
  private error: unknown;
  private failed = false;

  constructor(private readonly limit = Number.POSITIVE_INFINITY) {}

  /** How many items wait. */
  get size(): number {
    return this.items.length;
  }

  /** Adds an item; false when the queue is full or has ended, and the item was not taken. */
  push(item: T): boolean {
    if (this.ended || this.failed || this.items.length >= this.limit) return false;
    this.items.push(item);
    this.wake?.resolve();
    return true;
  }

  /** No more items come. */
  end(): void {
    this.ended = true;
    this.wake?.resolve();
  }

  /** The consumer gets this error instead of what is left. */
  fail(error: unknown): void {
    if (this.ended || this.failed) return;
    this.failed = true;
    this.error = error;
    this.items = [];
    this.wake?.resolve();
  }

  async *[Symbol.asyncIterator](): AsyncIterator<T> {
    for (;;) {
      if (this.failed) throw this.error;
      const batch = this.items;
      this.items = [];
      yield* batch;
      if (this.items.length > 0 || this.failed) continue;
      if (this.ended) return;
      this.wake = deferred();
      await this.wake.promise;
      this.wake = undefined;
    }
  }
}
