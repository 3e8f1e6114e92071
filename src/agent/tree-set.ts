import type { Clock } from '../base/clock.js';
import type { TaskTree } from './task-tree.js';

/** For all processes to stand still. */
const FREEZE_MS = 2000;
const POLL_MS = 2;

/** The process trees that are alive. They can be frozen together, for a snapshot. */
export class TreeSet {
  private readonly trees = new Set<TaskTree>();
  private frozen = false;

  constructor(private readonly clock: Clock) {}

  /** Adds a tree; one that comes while the others are frozen is frozen too. */
  add(tree: TaskTree): void {
    this.trees.add(tree);
    if (this.frozen) tree.freeze();
  }

  delete(tree: TaskTree): void {
    this.trees.delete(tree);
  }

  /** Stops all processes where they stand. Answers false when it was taken back, or some could not be stopped. */
  async freeze(): Promise<boolean> {
    this.frozen = true;
    const deadline = this.clock.monotonic() + FREEZE_MS;
    while (this.frozen && this.clock.monotonic() < deadline) {
      if ([...this.trees].filter((tree) => !tree.freeze()).length === 0) return true;
      await this.clock.sleep(POLL_MS);
    }
    return false;
  }

  /** Lets them go on. */
  thaw(): void {
    this.frozen = false;
    for (const tree of this.trees) tree.thaw();
  }
}
