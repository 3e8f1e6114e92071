import { randomUUID } from 'node:crypto';
import { KeyedMutex } from '../base/keyed-mutex.js';
import type { AgentRecord } from '../model/agent.js';
import { HubError } from '../model/hub-error.js';
import type { OutputProgress, OutputStream } from '../model/output.js';
import { emptyOutcome, type Task } from '../model/task.js';
import { AgentSession } from './agent-session.js';
import type { HubContext } from './context.js';
import type { Presence } from './presence.js';
import type { Hello } from './protocol.js';
import { ReportIntake } from './report-intake.js';
import type { Scheduler } from './scheduler.js';
import type { Sessions } from './sessions.js';
import type { TaskChanges } from './task-changes.js';

/** Reconnects per second that a fleet is spread to. */
const RECONNECTS_PER_SECOND = 100;

export interface SessionOpenerParts {
  readonly ctx: HubContext;
  readonly sessions: Sessions;
  readonly changes: TaskChanges;
  readonly scheduler: Scheduler;
  readonly presence: Presence;
}

/** An open session and where its reports go. */
export interface OpenSession {
  readonly session: AgentSession;
  readonly reports: ReportIntake;
}

/** Opens sessions: fences the one before, brings store and agent to the same view, then says Welcome. */
export class SessionOpener {
  readonly sessions: Sessions;
  private readonly ctx: HubContext;
  private readonly epoch = randomUUID();
  private readonly opening = new KeyedMutex();

  constructor(private readonly parts: SessionOpenerParts) {
    this.ctx = parts.ctx;
    this.sessions = parts.sessions;
  }

  /** Opens of one agent run one after the other: the newest Hello wins. */
  open(agentId: string, hello: Hello): Promise<OpenSession> {
    return this.opening.run(agentId, () => this.openNow(agentId, hello));
  }

  private async openNow(agentId: string, hello: Hello): Promise<OpenSession> {
    const record = await this.record(agentId, hello);
    this.sessions
      .get(agentId)
      ?.close('SUPERSEDED', new HubError('FENCED', 'a newer session of this agent is there'));
    const session = new AgentSession(this.ctx, record, hello);
    const reports = new ReportIntake(this.ctx, session, this.parts.changes, record.ackedSequence);
    await this.settleAll(session);
    await this.welcome(session, reports);
    this.sessions.replace(session);
    this.catchUp(session, reports);
    this.ctx.metrics.sessionOpened();
    await this.parts.presence.online(session);
    this.parts.scheduler.wakeAgent(agentId);
    return { session, reports };
  }

  /** The stream of a session is over. */
  async closed(session: AgentSession): Promise<void> {
    if (this.sessions.remove(session)) await this.parts.presence.offline(session);
  }

  private async record(agentId: string, hello: Hello): Promise<AgentRecord> {
    const { store, clock } = this.ctx;
    if (this.sessions.isBarred(agentId))
      throw new HubError('FENCED', 'the machine of this agent is being stopped');
    const known = await store.agents.get(agentId);
    if (known && hello.vmGeneration < known.vmGeneration) {
      const message = 'this machine was taken back to the past; its newer self is the agent';
      throw new HubError('FENCED', message, { metadata: { vm_generation: String(known.vmGeneration) } });
    }
    const { journalId, vmGeneration, version, capabilities } = hello;
    return store.agents.openSession(agentId, {
      journalId,
      vmGeneration,
      version,
      capabilities,
      atMs: clock.now(),
    });
  }

  /** What the store has in the agent's hand and the agent does not know is over, or goes back to the queue. */
  private async settleAll(session: AgentSession): Promise<void> {
    const known = new Set(session.hello.attempts.map((report) => `${report.attempt}/${report.task}`));
    for (const task of await this.ctx.store.tasks.active(session.agentId)) {
      if (known.has(`${task.attempt}/${task.id}`)) session.hold(task);
      else await this.settle(task);
    }
  }

  private async settle(task: Task): Promise<void> {
    const { attempt } = task;
    const atMs = this.ctx.clock.now();
    if (task.state === 'RUNNING') {
      const outcome = emptyOutcome('AGENT_CRASHED', 'the agent came back without this task');
      await this.parts.changes.apply(task.id, { type: 'lose', attempt, atMs, outcome });
      return;
    }
    await this.parts.changes.apply(task.id, { type: 'requeue', attempt });
    if (!task.cancelRequested) return;
    const outcome = emptyOutcome('CANCELLED', 'cancelled by a caller before it started');
    await this.parts.changes.apply(task.id, { type: 'cancel', atMs, outcome });
  }

  /** After Welcome: what the agent knows is taken in; what nobody wants any more is forgotten. */
  private catchUp(session: AgentSession, reports: ReportIntake): void {
    for (const task of session.cancelsDue()) session.cancel(task, false);
    for (const report of session.hello.attempts) {
      if (session.heldAttempt(report.task) === report.attempt) reports.takeDetached(report);
      else session.send({ type: 'forget', task: report.task, attempt: report.attempt });
    }
  }

  private async welcome(session: AgentSession, reports: ReportIntake): Promise<void> {
    const { limits } = this.ctx;
    const spread = Math.max(limits.reconnectSpreadMs, (this.sessions.size / RECONNECTS_PER_SECOND) * 1000);
    const welcome = {
      sessionGeneration: session.generation,
      hubEpoch: this.epoch,
      ackedSequence: reports.position,
      healthIntervalMs: limits.healthIntervalMs,
      reconnectSpreadMs: Math.round(spread),
      outputWindowBytes: limits.outputWindowBytes,
      concurrency: session.concurrency,
      outputs: await this.outputs(session),
    };
    session.send({ type: 'welcome', welcome });
  }

  private async outputs(session: AgentSession): Promise<OutputProgress[]> {
    const streams: OutputStream[] = ['STDOUT', 'STDERR'];
    const keys = session.hello.attempts
      .filter((report) => session.heldAttempt(report.task) === report.attempt)
      .flatMap(({ task, attempt }) => streams.map((stream) => ({ task, attempt, stream })));
    return Promise.all(keys.map((key) => this.ctx.output.progress(key)));
  }
}
