/** Listeners that are told that something changed, without saying what. */
export class Wakeups {
  private readonly listeners = new Set<() => void>();

  /** Calls `fn` on each change until disposed. */
  listen(fn: () => void): Disposable {
    this.listeners.add(fn);
    return { [Symbol.dispose]: () => void this.listeners.delete(fn) };
  }

  /** Tells all listeners. */
  notify(): void {
    for (const listener of [...this.listeners]) listener();
  }

  /** How many listen. */
  get size(): number {
    return this.listeners.size;
  }
}
