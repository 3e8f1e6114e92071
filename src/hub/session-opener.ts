import { randomUUID } from 'node:crypto';
import { KeyedMutex } from '../base/keyed-mutex.js';
import type { AgentRecord } from '../model/agent.js';
import { HubError } from '../model/hub-error.js';
import type { OutputProgress, OutputStream } from '../model/output.js';
import { AgentSession } from './agent-session.js';
import type { HubContext } from './context.js';
import type { Fences } from './fences.js';
import { Identities } from './identities.js';
import type { Presence } from './presence.js';
import type { Hello } from './protocol.js';
import { ReportIntake } from './report-intake.js';
import type { Scheduler } from './scheduler.js';
import type { SessionReconciler } from './session-reconciler.js';
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
  readonly fences: Fences;
  readonly reconciler: SessionReconciler;
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
  private readonly identities: Identities;

  constructor(private readonly parts: SessionOpenerParts) {
    this.ctx = parts.ctx;
    this.sessions = parts.sessions;
    this.identities = new Identities(parts.ctx.clock);
  }

  /** Opens of one agent run one after the other: the newest Hello wins. */
  open(agentId: string, hello: Hello): Promise<OpenSession> {
    return this.opening.run(agentId, () => this.openNow(agentId, hello));
  }

  private async openNow(agentId: string, hello: Hello): Promise<OpenSession> {
    const known = await this.admit(agentId, hello);
    const { journalId, journalSequence, vmGeneration, version, capabilities } = hello;
    const atMs = this.ctx.clock.now();
    const facts = { journalId, journalSequence, vmGeneration, version, capabilities, atMs };
    const record = await this.ctx.store.agents.openSession(agentId, facts);
    const superseded = new HubError('FENCED', 'a newer session of this agent is there');
    this.sessions.get(agentId)?.close('SUPERSEDED', superseded);
    const session = new AgentSession(this.ctx, record, hello);
    const reports = new ReportIntake(this.ctx, session, this.parts, record.ackedSequence);
    await this.parts.reconciler.settle(session, known);
    await this.welcome(session, reports);
    // A fence that came meanwhile could not close a session that was not there yet.
    this.refuseBarred(agentId);
    this.sessions.replace(session);
    await this.parts.reconciler.catchUp(session, reports);
    this.ctx.metrics.sessionOpened();
    await this.parts.presence.online(session);
    this.parts.scheduler.wakeAgent(agentId);
    return { session, reports };
  }

  /** An identity that was in quarantine is sound again. */
  trust(agentId: string): void {
    this.identities.clear(agentId);
  }

  /** The stream of a session is over. */
  async closed(session: AgentSession): Promise<void> {
    if (this.sessions.remove(session)) await this.parts.presence.offline(session);
  }

  /** Refuses machines that are being stopped or come from the past, and identities that are in use twice. */
  private async admit(agentId: string, hello: Hello): Promise<AgentRecord | undefined> {
    this.refuseBarred(agentId);
    const known = await this.ctx.store.agents.get(agentId);
    if (known && hello.vmGeneration < known.vmGeneration) {
      const message = 'this machine was taken back to the past; its newer self is the agent';
      throw new HubError('FENCED', message, { metadata: { vm_generation: String(known.vmGeneration) } });
    }
    const current = this.sessions.get(agentId);
    if (current && isCopy(hello, current)) throw copied(agentId);
    try {
      this.identities.check(agentId, hello.incarnation, current?.hello.incarnation);
    } catch (err) {
      current?.close('DUPLICATE_IDENTITY', HubError.from(err));
      throw err;
    }
    return known;
  }

  private refuseBarred(agentId: string): void {
    if (this.sessions.isBarred(agentId))
      throw new HubError('FENCED', 'the machine of this agent is being stopped');
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

/**
 * Whether this process and the one that has the session come from one memory, as after the restore of a machine
 * beside itself: it does not know a session that the other one has used.
 */
function isCopy({ incarnation, lastSessionGeneration = 0 }: Hello, current: AgentSession): boolean {
  if (lastSessionGeneration === 0 || incarnation !== current.hello.incarnation) return false;
  return lastSessionGeneration < current.generation && current.received > 0;
}

function copied(agent: string): HubError {
  const message =
    `this machine is a copy of the one that is agent ${agent} now, and is refused while that one is connected. ` +
    'Stop one of them';
  return new HubError('DUPLICATE_IDENTITY', message, { metadata: { agent } });
}
