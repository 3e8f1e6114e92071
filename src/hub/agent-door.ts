import { timingSafeEqual } from 'node:crypto';
import { untilAborted } from '../base/abort.js';
import { runDetached } from '../base/detached.js';
import { HubError } from '../model/hub-error.js';
import type { OutputProgress } from '../model/output.js';
import type { AgentSession } from './agent-session.js';
import type { DoorApi } from './api.js';
import type { Barriers } from './barriers.js';
import type { HubContext } from './context.js';
import { OutputIntake } from './output-intake.js';
import type { AgentFrame, AttachShellFrame, Hello, HubFrame, OutputFrame, ShellInput } from './protocol.js';
import type { ReportIntake } from './report-intake.js';
import { hashSecret } from './secrets.js';
import type { SessionOpener } from './session-opener.js';
import type { Shells } from './shells.js';

/** Version of the agent protocol. */
export const PROTOCOL_VERSION = 1;

export interface AgentDoorParts {
  readonly ctx: HubContext;
  readonly opener: SessionOpener;
  readonly shells: Shells;
  readonly barriers: Barriers;
}

/** What agents may do: hold a session, deliver output, attach shells. */
export class AgentDoor implements DoorApi {
  private readonly intakes = new WeakMap<AgentSession, ReportIntake>();

  constructor(private readonly parts: AgentDoorParts) {}

  async authenticate(agentId: string, secret: string): Promise<void> {
    const record = await this.parts.ctx.store.agents.get(agentId);
    const known = Buffer.from(record?.secretHash || hashSecret(''), 'hex');
    const right = timingSafeEqual(known, Buffer.from(hashSecret(secret), 'hex'));
    if (!record?.secretHash || secret === '' || !right) {
      throw new HubError('NOT_AUTHENTICATED', 'the agent id and its join secret do not belong together');
    }
  }

  async *connect(
    agentId: string,
    frames: AsyncIterable<AgentFrame>,
    signal: AbortSignal,
  ): AsyncIterable<HubFrame> {
    const reader = frames[Symbol.asyncIterator]();
    const hello = await this.hello(agentId, reader, signal);
    const { session, reports } = await this.parts.opener.open(agentId, hello);
    this.intakes.set(session, reports);
    runDetached(this.parts.ctx.log, 'session', () => this.read(session, reports, reader));
    try {
      for await (const frame of session.frames) yield frame;
    } finally {
      if (!session.closed) session.close('CONNECTION_LOST');
      await this.parts.opener.closed(session);
    }
  }

  async *output(
    agentId: string,
    frames: AsyncIterable<OutputFrame>,
    signal: AbortSignal,
  ): AsyncIterable<readonly OutputProgress[]> {
    const reader = frames[Symbol.asyncIterator]();
    const first = await this.first(reader, signal);
    if (first?.type !== 'open')
      throw new HubError('PROTOCOL_ERROR', 'session_generation: must be the first frame');
    const session = this.current(agentId, first.sessionGeneration);
    const reports = this.intakes.get(session);
    if (!reports) throw new HubError('FENCED', 'the session is over');
    const intake = new OutputIntake(this.parts.ctx, session, reports);
    yield* endingWith(session, intake.run(reader));
  }

  async *attachShell(
    agentId: string,
    frames: AsyncIterable<AttachShellFrame>,
    signal: AbortSignal,
  ): AsyncIterable<ShellInput> {
    const reader = frames[Symbol.asyncIterator]();
    const first = await this.first(reader, signal);
    if (first?.type !== 'open') throw new HubError('PROTOCOL_ERROR', 'open: must be the first frame');
    const session = this.current(agentId, first.sessionGeneration);
    yield* this.parts.shells.attach(session, first.shell, reader, AbortSignal.any([signal, session.signal]));
  }

  private async hello(
    agentId: string,
    reader: AsyncIterator<AgentFrame>,
    signal: AbortSignal,
  ): Promise<Hello> {
    const first = await this.first(reader, signal);
    if (first?.type !== 'hello') throw new HubError('PROTOCOL_ERROR', 'hello: must be the first frame');
    const { hello } = first;
    if (hello.agentId !== agentId) {
      throw new HubError(
        'PROTOCOL_ERROR',
        'hello.agentId: must be the id that the stream was authenticated for',
      );
    }
    if (hello.protocol !== PROTOCOL_VERSION) {
      const metadata = { protocol: String(PROTOCOL_VERSION) };
      const message = `this hub speaks agent protocol ${PROTOCOL_VERSION}, the agent ${hello.protocol}`;
      throw new HubError('UPGRADE_REQUIRED', message, { metadata });
    }
    return hello;
  }

  /** The first frame of a stream; a stream that says nothing for long is closed. */
  private async first<T>(reader: AsyncIterator<T>, signal: AbortSignal): Promise<T | undefined> {
    const timeout = AbortSignal.timeout(this.parts.ctx.limits.helloTimeoutMs);
    try {
      const next = await untilAborted(reader.next(), AbortSignal.any([signal, timeout]));
      return next.done ? undefined : next.value;
    } catch (err) {
      if (timeout.aborted) throw new HubError('PROTOCOL_ERROR', 'the first frame did not come in time');
      throw err;
    }
  }

  private current(agentId: string, generation: number): AgentSession {
    const session = this.parts.opener.sessions.get(agentId);
    if (session?.generation === generation) return session;
    throw new HubError('FENCED', 'this session generation is not the current one');
  }

  private async read(
    session: AgentSession,
    reports: ReportIntake,
    reader: AsyncIterator<AgentFrame>,
  ): Promise<void> {
    try {
      for (let next = await reader.next(); !next.done && !session.closed; next = await reader.next()) {
        this.take(session, reports, next.value);
      }
      session.close('CONNECTION_LOST');
    } catch (err) {
      session.close('CONNECTION_LOST', HubError.from(err));
    }
  }

  private take(session: AgentSession, reports: ReportIntake, frame: AgentFrame): void {
    session.received += 1;
    session.lastSeenMs = this.parts.ctx.clock.now();
    this.parts.ctx.metrics.frameReceived(frame.type);
    switch (frame.type) {
      case 'hello':
        throw new HubError('PROTOCOL_ERROR', 'hello: only as the first frame');
      case 'report':
        reports.takeDetached(frame.report);
        return;
      case 'health':
        session.health = frame.health;
        return;
      case 'goodbye':
        session.close('AGENT_STOPPED');
        return;
      case 'prepared':
        this.parts.barriers.prepared(frame.barrier);
        return;
      case 'shellRefused':
        this.parts.shells.refused(session, frame.shell, frame.message);
        return;
    }
  }
}

/** Passes items on until the session is over. */
async function* endingWith<T>(session: AgentSession, items: AsyncIterable<T>): AsyncIterable<T> {
  const iterator = items[Symbol.asyncIterator]();
  for (;;) {
    const next = await untilAborted(iterator.next(), session.signal);
    if (next.done) return;
    yield next.value;
  }
}
