import type { Clock } from '../base/clock.js';
import type { Task } from '../model/task.js';

/** What an agent may take longer than a task's run-time limit: its own grace period for a kill, and half a minute. */
const SLACK_MS = 40_000;
/** How long the end of a forced kill may take to come before the task is given up. */
const KILL_MS = 60_000;
/** Looks that are further apart than this: the hub stood still between them. */
const STANDSTILL_MS = 10_000;

/** What is to be done about a task that should be over. */
export type BackStopAction = 'nothing' | 'kill' | 'give-up';

/**
 * The hub's own watch over run-time limits, for agents that do not keep them. It counts from when this hub saw
 * the task run, and leaves out what it did not see because it stood still: time for which the hub was away never
 * counts against a task, whose result may just be on its way. Look every few seconds.
 */
export class BackStop {
  private readonly seen = new Map<string, { sinceMs: number; killed: boolean }>();

  private lookedMs: number;

  constructor(private readonly clock: Clock) {
    this.lookedMs = clock.monotonic();
  }

  /** What is due for each task that runs now. Tasks that are not asked about are forgotten. */
  look(running: readonly Task[]): readonly { readonly task: Task; readonly action: BackStopAction }[] {
    this.forgiveStandstill();
    const keys = new Set(running.map(keyOf));
    for (const key of this.seen.keys()) if (!keys.has(key)) this.seen.delete(key);
    return running.map((task) => ({ task, action: this.actionFor(task) }));
  }

  private forgiveStandstill(): void {
    const now = this.clock.monotonic();
    const gapMs = now - this.lookedMs;
    this.lookedMs = now;
    if (gapMs > STANDSTILL_MS) for (const entry of this.seen.values()) entry.sinceMs += gapMs;
  }

  private actionFor(task: Task): BackStopAction {
    const now = this.clock.monotonic();
    const entry = this.seen.get(keyOf(task)) ?? { sinceMs: now, killed: false };
    this.seen.set(keyOf(task), entry);
    const overMs = now - entry.sinceMs - task.spec.timeoutMs - SLACK_MS;
    if (overMs >= KILL_MS) return 'give-up';
    if (overMs < 0 || entry.killed) return 'nothing';
    entry.killed = true;
    return 'kill';
  }
}

function keyOf(task: Task): string {
  return `${task.attempt}/${task.id}`;
}
