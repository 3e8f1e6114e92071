/** Wakes whoever waits for a task to change. Rung after the commit only; who is woken reads the store. */
export class TaskWatchers {
  private readonly listeners = new Map<string, Set<() => void>>();

  /** Calls `fn` after each change of a task, until disposed. */
  listen(id: string, fn: () => void): Disposable {
    const set = this.listeners.get(id) ?? new Set();
    this.listeners.set(id, set.add(fn));
    return {
      [Symbol.dispose]: () => {
        set.delete(fn);
        if (set.size === 0 && this.listeners.get(id) === set) this.listeners.delete(id);
      },
    };
  }

  notify(id: string): void {
    for (const fn of [...(this.listeners.get(id) ?? [])]) fn();
  }
}
