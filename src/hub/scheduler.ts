import { deferred } from '../base/deferred.js';
import { runDetached } from '../base/detached.js';
import { emptyOutcome, type Task } from '../model/task.js';
import type { AgentSession } from './agent-session.js';
import type { HubContext } from './context.js';
import type { Sessions } from './sessions.js';
import { untilStored } from './storage-retry.js';
import type { TaskWatchers } from './task-watchers.js';

/** Most agents that are woken for one pooled task. */
const POOL_CANDIDATES = 8;

/** How long tasks for an agent that has much in hand are gathered: each claim costs a commit. */
const GATHER_MS = 5;

/** A claim that is under way. */
interface Claiming {
  /** Something changed meanwhile. */
  again: boolean;
  /** Called when something changes while tasks are gathered. */
  changed?: (() => void) | undefined;
}

/**
 * Hands queued tasks to agents that are online. The store decides which tasks may go (TaskStore.claim); an
 * assignment is sent only after the claim is committed. At most one claim per agent is under way; a wake-up
 * that comes meanwhile makes one more.
 */
export class Scheduler {
  private readonly busy = new Map<string, Claiming>();

  constructor(
    private readonly ctx: HubContext,
    private readonly sessions: Sessions,
    private readonly watchers: TaskWatchers,
  ) {}

  /** Something changed for this agent: a new task, a free place, a new session. */
  wakeAgent(agent: string): void {
    const running = this.busy.get(agent);
    if (running) {
      running.again = true;
      running.changed?.();
      return;
    }
    const session = this.sessions.get(agent);
    if (!session) return;
    const state: Claiming = { again: false };
    this.busy.set(agent, state);
    runDetached(this.ctx.log, 'claim', () => this.claimAll(session, state));
  }

  /** A pooled task waits: the least loaded agents that are able get the first chance, in order. */
  wakePool(capabilities: readonly string[]): void {
    const able = this.sessions.all().filter((session) => session.hasCapabilities(capabilities));
    able.sort((a, b) => a.inHand - b.inHand);
    for (const session of able.slice(0, POOL_CANDIDATES)) this.wakeAgent(session.agentId);
  }

  /** Pooled tasks may go that could not before. */
  wakeAll(): void {
    for (const session of this.sessions.all()) this.wakeAgent(session.agentId);
  }

  /** A task becomes QUEUED, or became it. */
  wakeFor(task: Pick<Task, 'agent' | 'requiredCapabilities'>): void {
    if (task.agent === undefined) this.wakePool(task.requiredCapabilities);
    else this.wakeAgent(task.agent);
  }

  private async claimAll(session: AgentSession, state: Claiming): Promise<void> {
    try {
      do {
        await this.gather(session, state);
        state.again = false;
        await untilStored(this.ctx, session.signal, () => this.claim(session));
      } while (state.again && !session.closed);
    } catch (err) {
      if (!session.closed) throw err;
    } finally {
      this.busy.delete(session.agentId);
    }
    const current = this.sessions.get(session.agentId);
    if (current && current !== session) this.wakeAgent(session.agentId);
  }

  /** Waits until an agent that has more than half of its places taken has not, but not for long. */
  private async gather(session: AgentSession, state: Claiming): Promise<void> {
    const { limits, clock } = this.ctx;
    if (session.inHand <= limits.slots / 2) return;
    const { promise, resolve } = deferred();
    using _late = clock.after(GATHER_MS, resolve);
    state.changed = () => {
      if (session.inHand <= limits.slots / 2) resolve();
    };
    await promise;
    state.changed = undefined;
  }

  private async claim(session: AgentSession): Promise<void> {
    if (session.closed) return;
    const { limits, clock, store } = this.ctx;
    const tasks = await store.tasks.claim({
      agent: session.agentId,
      sessionGeneration: session.generation,
      capabilities: session.capabilities,
      window: Math.max(limits.laneWindow, session.concurrency),
      laneWidth: session.concurrency,
      slots: limits.slots,
      nowMs: clock.now(),
    });
    if (session.closed) await this.giveBack(tasks);
    else for (const task of tasks) session.assign(task);
    for (const { id } of tasks) this.watchers.notify(id);
  }

  /** The session ended while they were claimed for it: nobody has heard of them, so nobody has started them. */
  private async giveBack(tasks: readonly Task[]): Promise<void> {
    const { store, clock } = this.ctx;
    for (const { id, attempt } of tasks) {
      const options = { nowMs: clock.now() };
      const { task } = await store.tasks.apply(id, { type: 'requeue', attempt }, options);
      if (task.state === 'QUEUED' && task.cancelRequested) await this.drop(task);
      else this.wakeFor(task);
    }
  }

  private async drop({ id }: Task): Promise<void> {
    const nowMs = this.ctx.clock.now();
    const outcome = emptyOutcome('CANCELLED', 'cancelled by a caller before it started');
    await this.ctx.store.tasks.apply(id, { type: 'cancel', atMs: nowMs, outcome }, { nowMs });
  }
}
