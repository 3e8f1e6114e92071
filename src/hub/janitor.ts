import { emptyOutcome, type Task, type TaskOutcome } from '../model/task.js';
import { BackStop } from './back-stop.js';
import type { HubContext } from './context.js';
import type { Presence } from './presence.js';
import type { Sessions } from './sessions.js';
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
  private readonly backStop: BackStop;
  private lastLookMs: number;

  constructor(
    private readonly ctx: HubContext,
    private readonly changes: TaskChanges,
    private readonly presence: Presence,
    private readonly sessions: Sessions,
  ) {
    this.backStop = new BackStop(ctx.clock);
    this.lastLookMs = ctx.clock.monotonic();
  }

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
    const { store, clock } = this.ctx;
    this.forgiveStandstill();
    for (const id of await store.tasks.expired(clock.now(), BATCH)) {
      const outcome = emptyOutcome('QUEUE_TTL_EXPIRED', 'it waited in the queue for longer than its ttl');
      await this.changes.apply(id, { type: 'drop', atMs: clock.now(), outcome });
    }
    const load = await store.tasks.load();
    for (const [agent, { inHand }] of load) await this.lookAtAgent(agent, inHand);
    await this.lookAtLimits([...load.values()].flatMap(({ inHand }) => inHand));
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

  /** What the hub did not see because it stood still itself is not counted against anybody. */
  private forgiveStandstill(): void {
    const now = this.ctx.clock.monotonic();
    const standstillMs = Math.max(this.ctx.limits.lostAfterMs / 2, 10 * QUEUE_INTERVAL_MS);
    if (now - this.lastLookMs > standstillMs) this.presence.forgive();
    this.lastLookMs = now;
  }

  private async lookAtAgent(agent: string, inHand: readonly Task[]): Promise<void> {
    if (inHand.length === 0 || this.presence.awayMs(agent) < this.ctx.limits.lostAfterMs) return;
    const outcome = emptyOutcome('AGENT_UNREACHABLE', 'its agent has been away for too long');
    for (const task of inHand) await this.lose(task, outcome);
  }

  private async lookAtLimits(inHand: readonly Task[]): Promise<void> {
    const outcome = emptyOutcome('TIMEOUT_NOT_KEPT', 'its agent did not end it at its run-time limit');
    for (const { task, action } of this.backStop.look(inHand.filter((task) => task.state === 'RUNNING'))) {
      if (action === 'kill') this.sessions.get(task.agent ?? '')?.cancel(task, true);
      if (action === 'give-up') await this.giveUp(task, outcome);
    }
  }

  private async giveUp(task: Task, outcome: TaskOutcome): Promise<void> {
    await this.lose(task, outcome);
    const session = this.sessions.get(task.agent ?? '');
    session?.release(task.id);
    session?.cancel(task, true);
  }

  private async lose({ id, attempt }: Task, outcome: TaskOutcome): Promise<void> {
    await this.changes.apply(id, {
      type: 'lose',
      attempt,
      fenced: false,
      atMs: this.ctx.clock.now(),
      outcome,
    });
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
