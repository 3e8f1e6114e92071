import { isTerminal } from '../../model/task.js';
import type { BatchMember } from './group-commit.js';
import type { StoredTask } from './task-row.js';

/** Most tasks that are remembered, and the longest command or content of one, in characters. */
const MAX_TASKS = 4096;
const MAX_SPEC_CHARS = 8192;

/** Remembers unfinished tasks that were used last, so that their rows need not be read and parsed again. */
export class TaskCache implements BatchMember {
  private readonly tasks = new Map<string, StoredTask>();
  private puts = 0;

  get(id: string): StoredTask | undefined {
    return this.tasks.get(id);
  }

  /** Remembers what was just written. */
  put(stored: StoredTask): void {
    const { id, state } = stored.task;
    this.puts++;
    this.tasks.delete(id);
    if (isTerminal(state) || stored.specChars > MAX_SPEC_CHARS) return;
    this.tasks.set(id, stored);
    if (this.tasks.size > MAX_TASKS) this.forgetOldest();
  }

  /** Forgets a task whose row was changed by other means. */
  forget(id: string): void {
    this.tasks.delete(id);
  }

  mark(): number {
    return this.puts;
  }

  /** What was undone is not known any more; the rows are. */
  rollbackTo(mark: number): void {
    if (this.puts > mark) this.tasks.clear();
    this.puts = mark;
  }

  flush(): void {}

  committed(): void {
    this.puts = 0;
  }

  private forgetOldest(): void {
    for (const id of this.tasks.keys()) {
      this.tasks.delete(id);
      return;
    }
  }
}
