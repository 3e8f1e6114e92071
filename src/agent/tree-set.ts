import type { TaskTree } from './task-tree.js';

/** The process trees that are alive. They can be frozen together, for a snapshot. */
export class TreeSet {
  private readonly trees = new Set<TaskTree>();
  private frozen = false;

  /** Adds a tree; one that comes while the others are frozen is frozen too. */
  add(tree: TaskTree): void {
    this.trees.add(tree);
    if (this.frozen) tree.signal('SIGSTOP');
  }

  delete(tree: TaskTree): void {
    this.trees.delete(tree);
  }

  /** Stops all processes where they stand. */
  freeze(): void {
    this.frozen = true;
    for (const tree of this.trees) tree.signal('SIGSTOP');
  }

  /** Lets them go on. */
  thaw(): void {
    this.frozen = false;
    for (const tree of this.trees) tree.signal('SIGCONT');
  }
}
