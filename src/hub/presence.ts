import type { AgentRecord, AgentState, AgentView } from '../model/agent.js';
import type { EventType } from '../model/event.js';
import { HubError } from '../model/hub-error.js';
import type { AgentSession } from './agent-session.js';
import type { HubContext } from './context.js';
import type { Sessions } from './sessions.js';
import { isStorageDown } from './storage-retry.js';
import type { AgentLoad } from './store.js';

/** Most tasks in hand that are shown with an agent. */
const CURRENT_TASKS_SHOWN = 100;

/** Knows which agents are here, since when, and what callers see of them. */
export class Presence {
  /** When each agent that is not connected went away; from the start of the hub for those never seen. */
  private readonly goneSince = new Map<string, number>();
  private readonly startedMs: number;
  private readonly waiters = new Set<() => void>();

  constructor(
    private readonly ctx: HubContext,
    private readonly sessions: Sessions,
  ) {
    this.startedMs = ctx.clock.monotonic();
  }

  /** An agent is known from before, or was just made. */
  known(agent: string): void {
    if (!this.sessions.get(agent) && !this.goneSince.has(agent))
      this.goneSince.set(agent, this.ctx.clock.monotonic());
  }

  /** An agent is no more. */
  forget(agent: string): void {
    this.goneSince.delete(agent);
  }

  /** How many agents are known and not connected. */
  offlineCount(): number {
    return this.goneSince.size;
  }

  /** An agent is connected. */
  async online(session: AgentSession): Promise<void> {
    this.goneSince.delete(session.agentId);
    for (const waiter of [...this.waiters]) waiter();
    await this.noted(() => this.event('agent.online', session.agentId, 'ONLINE', ''));
  }

  /** An agent's connection is over. */
  async offline(session: AgentSession): Promise<void> {
    this.goneSince.set(session.agentId, this.ctx.clock.monotonic());
    const reason = session.end?.reason ?? 'CONNECTION_LOST';
    try {
      await this.noted(async () => {
        await this.ctx.store.agents.update(session.agentId, { lastSeenMs: session.lastSeenMs, reason });
        await this.event('agent.offline', session.agentId, 'OFFLINE', reason);
      });
    } catch (err) {
      if (!(err instanceof HubError && err.reason === 'AGENT_NOT_FOUND')) throw err;
      this.forget(session.agentId);
    }
  }

  /** How long an agent has been away, in milliseconds; counts from the start of the hub at most. */
  awayMs(agent: string): number {
    if (this.sessions.get(agent)) return 0;
    return this.ctx.clock.monotonic() - (this.goneSince.get(agent) ?? this.startedMs);
  }

  /** Counts the absence of all agents anew. */
  forgive(): void {
    const now = this.ctx.clock.monotonic();
    for (const agent of this.goneSince.keys()) this.goneSince.set(agent, now);
  }

  /** Resolves once the agent is connected with at least this generation of its machine. */
  async untilOnline(agent: string, vmGeneration: number, signal: AbortSignal): Promise<AgentSession> {
    for (;;) {
      const session = this.sessions.get(agent);
      if (session && !session.closed && session.hello.vmGeneration >= vmGeneration) return session;
      await this.nextArrival(signal);
    }
  }

  /** What callers see of an agent. */
  view(record: AgentRecord, load: AgentLoad | undefined): AgentView {
    const session = this.sessions.get(record.id);
    const state = stateOf(record, session);
    const lastSeenMs = session?.lastSeenMs ?? record.lastSeenMs;
    return {
      record,
      state,
      stateReason: state === 'ONLINE' ? '' : record.reason || 'NEVER_CONNECTED',
      messagesReceived: session?.received ?? 0,
      messagesSent: session?.sent ?? 0,
      currentTasks: session?.currentTasks(CURRENT_TASKS_SHOWN) ?? [],
      queuedTasks: load?.queued ?? 0,
      ...(session ? { connectMs: session.connectMs } : {}),
      ...(lastSeenMs === undefined ? {} : { lastSeenMs }),
      ...(session?.health ? { health: session.health } : {}),
    };
  }

  /** Records that something happened to an agent. */
  async event(type: EventType, agent: string, state: string, reason: string, message = ''): Promise<void> {
    const { store, clock } = this.ctx;
    await store.events.append({ type, atMs: clock.now(), agent, task: '', state, reason, message });
  }

  /** What is only worth knowing must not end a session when the disk is full. */
  private async noted(write: () => Promise<void>): Promise<void> {
    try {
      await write();
    } catch (err) {
      if (!isStorageDown(err)) throw err;
      this.ctx.log.warn('an event of an agent was not stored', { error: err });
    }
  }

  private nextArrival(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const done = () => {
        this.waiters.delete(done);
        signal.removeEventListener('abort', aborted);
        resolve();
      };
      const aborted = () => {
        this.waiters.delete(done);
        reject(signal.reason);
      };
      if (signal.aborted) aborted();
      else signal.addEventListener('abort', aborted, { once: true });
      this.waiters.add(done);
    });
  }
}

function stateOf(record: AgentRecord, session: AgentSession | undefined): AgentState {
  if (record.phase === 'DESTROYING' || record.phase === 'FAILED' || record.phase === 'CREATING')
    return record.phase;
  return session && !session.closed ? 'ONLINE' : 'OFFLINE';
}
