import { emptyOutcome } from '../model/task.js';
import type { HubContext } from './context.js';
import type { Presence } from './presence.js';
import type { TaskChanges } from './task-changes.js';

/** How often queues are looked at, and how often old things are deleted. */
const QUEUE_INTERVAL_MS = 1_000;
const RETENTION_INTERVAL_MS = 60_000;
/** Rows handled at once, so that other work gets its turn. */
const BATCH = 500;

/** Ends what waited too long, and deletes what is old. */
export class Janitor {
  private readonly stopping = new AbortController();
  private running: Promise<unknown> | undefined;

  constructor(
    private readonly ctx: HubContext,
    private readonly changes: TaskChanges,
    private readonly presence: Presence,
  ) {}

  start(): void {
    this.running = Promise.all([
      this.repeat('queues', QUEUE_INTERVAL_MS, () => this.lookAtQueues()),
      this.repeat('retention', RETENTION_INTERVAL_MS, () => this.deleteOld()),
    ]);
  }

  async close(): Promise<void> {
    this.stopping.abort();
    await this.running;
  }

  /** One look: tasks whose time in the queue is over, tasks of agents that are away for too long. */
  async lookAtQueues(): Promise<void> {
    const { store, clock, limits } = this.ctx;
    for (const id of await store.tasks.expired(clock.now(), BATCH)) {
      const outcome = emptyOutcome('QUEUE_TTL_EXPIRED', 'it waited in the queue for longer than its ttl');
      await this.changes.apply(id, { type: 'drop', atMs: clock.now(), outcome });
    }
    for (const [agent, load] of await store.tasks.load()) {
      if (load.inHand.length === 0 || this.presence.awayMs(agent) < limits.lostAfterMs) continue;
      for (const { id, attempt } of load.inHand) await this.lose(id, attempt);
    }
  }

  /** One round of deleting what is past its retention. */
  async deleteOld(): Promise<void> {
    const { store, output, clock, limits } = this.ctx;
    await store.tasks.purge(clock.now() - limits.taskRetentionMs, BATCH);
    await store.events.trim(limits.eventsKept);
    await output.expire({
      maxBytes: limits.outputBytesKept,
      minTimeMs: clock.now() - limits.outputRetentionMs,
    });
  }

  private async lose(id: string, attempt: number): Promise<void> {
    const outcome = emptyOutcome('AGENT_UNREACHABLE', 'its agent has been away for too long');
    await this.changes.apply(id, { type: 'lose', attempt, atMs: this.ctx.clock.now(), outcome });
  }

  private async repeat(name: string, everyMs: number, work: () => Promise<void>): Promise<void> {
    const { signal } = this.stopping;
    while (!signal.aborted) {
      await this.ctx.clock.sleep(everyMs, signal).catch(() => {});
      if (signal.aborted) return;
      await work().catch((err: unknown) =>
        this.ctx.log.error('housekeeping failed', { work: name, error: err }),
      );
    }
  }
}
