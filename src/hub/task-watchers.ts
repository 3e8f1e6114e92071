import type { Task } from '../model/task.js';

/** Tells waiting callers what tasks became. Called after the commit only. */
export class TaskWatchers {
  private readonly listeners = new Map<string, Set<(task: Task) => void>>();

  /** Calls `fn` with the task after each change, until disposed. */
  listen(id: string, fn: (task: Task) => void): Disposable {
    const set = this.listeners.get(id) ?? new Set();
    this.listeners.set(id, set.add(fn));
    return {
      [Symbol.dispose]: () => {
        set.delete(fn);
        if (set.size === 0 && this.listeners.get(id) === set) this.listeners.delete(id);
      },
    };
  }

  notify(task: Task): void {
    for (const fn of [...(this.listeners.get(task.id) ?? [])]) fn(task);
  }
}
