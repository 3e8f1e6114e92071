import { runDetached } from '../base/detached.js';
import { HubError } from '../model/hub-error.js';
import type { OutputProgress, OutputStream } from '../model/output.js';
import { isTerminal, type TaskOutcome } from '../model/task.js';
import type { TaskEvent } from '../model/task-events.js';
import { AckTracker } from './ack-tracker.js';
import type { AgentSession } from './agent-session.js';
import type { HubContext } from './context.js';
import type { Fences } from './fences.js';
import { OutputWait } from './output-wait.js';
import type { AttemptReport } from './protocol.js';
import { untilStored } from './storage-retry.js';
import type { TaskChanges } from './task-changes.js';

/** The two streams of a process. */
const STREAMS: readonly OutputStream[] = ['STDOUT', 'STDERR'];

/**
 * Takes what one session reports of its attempts into the store, in the order reported, and acknowledges what
 * is stored. A result waits until its output is stored, or until the rest of it is declared lost.
 */
export class ReportIntake {
  private readonly acks: AckTracker;
  private acknowledging = false;
  private readonly waits = new Map<string, OutputWait>();
  private readonly settling = new Map<string, Promise<TaskOutcome>>();
  /** Ends that are on their way to the disk. Until they are there nothing of their attempts is over. */
  private readonly ends = new Map<string, Promise<void>>();

  constructor(
    private readonly ctx: HubContext,
    private readonly session: AgentSession,
    private readonly parts: { readonly changes: TaskChanges; readonly fences: Fences },
    acked: number,
  ) {
    this.acks = new AckTracker(acked);
  }

  /** Last report that is stored. */
  get position(): number {
    return this.acks.position;
  }

  /** Takes a report in. Resolves when it is stored; rejects when it could not be. */
  async take(report: AttemptReport): Promise<void> {
    if (report.state === 'DISPATCHED' || report.state === 'QUEUED') return;
    const stored = this.acks.begin(report.sequence);
    await this.put(report, () => this.acks.positionWith(report.sequence));
    stored();
    this.acknowledge();
  }

  /**
   * Takes in what Hello says of an attempt, without waiting. Hello is not in the order of the journal and may leave
   * results out; all that is not acknowledged is reported again behind it, and only that is acknowledged.
   */
  takeHello(report: AttemptReport): void {
    if (report.state === 'DISPATCHED' || report.state === 'QUEUED') return;
    this.detached(() => this.put(report, () => this.acks.position));
  }

  /** What is stored in one turn of the event loop is acknowledged at once. */
  private acknowledge(): void {
    if (this.acknowledging) return;
    this.acknowledging = true;
    setImmediate(() => {
      this.acknowledging = false;
      this.session.send({ type: 'ack', sequence: this.acks.position });
    });
  }

  /** As `take`, without waiting; a failure ends the session, so that the agent reports again. */
  takeDetached(report: AttemptReport): void {
    this.detached(() => this.take(report));
  }

  private detached(work: () => Promise<void>): void {
    runDetached(this.ctx.log, 'report', async () => {
      try {
        await work();
      } catch (err) {
        if (!this.session.closed) this.session.close('REPORT_FAILED', HubError.from(err));
        throw err;
      }
    });
  }

  /** Output of one stream became durable. */
  progressed(progress: OutputProgress): void {
    this.waits.get(waitKey(progress.task, progress.attempt))?.progressed(progress);
  }

  /** The disk takes no output now; the deadlines of results that wait for theirs begin anew. */
  outputStalled(): void {
    for (const wait of this.waits.values()) wait.stalled();
  }

  private async put(report: AttemptReport, position: () => number): Promise<void> {
    await this.ends.get(waitKey(report.task, report.attempt));
    const held = this.session.heldAttempt(report.task) === report.attempt;
    return held ? this.store(report, position) : this.takeLate(report, position);
  }

  /** A report of an attempt that is not in hand any more: evidence, the end of a fence, or nothing. */
  private async takeLate(report: AttemptReport, position: () => number): Promise<void> {
    const { state, outcome, task, attempt } = report;
    if (isTerminal(state) && outcome && (await this.parts.fences.given(this.session.agentId, report))) {
      const endMs = report.endMs ?? this.ctx.clock.now();
      await this.apply(report, { type: 'ended', attempt, state, endMs, outcome }, position);
    }
    if (this.session.heldAttempt(task) !== attempt) this.session.send({ type: 'forget', task, attempt });
  }

  private async store(report: AttemptReport, position: () => number): Promise<void> {
    const { state, outcome } = report;
    if (!isTerminal(state)) {
      const startMs = report.startMs ?? this.ctx.clock.now();
      this.session.started(report.task, startMs);
      await this.apply(report, { type: 'started', attempt: report.attempt, startMs }, position);
      return;
    }
    if (!outcome) throw new HubError('PROTOCOL_ERROR', 'report.outcome: a terminal state needs an outcome');
    const settled = await this.withOutput(report, outcome);
    const endMs = report.endMs ?? this.ctx.clock.now();
    const start = report.startMs === undefined ? {} : { startMs: report.startMs };
    const { attempt } = report;
    const event = { type: 'ended', attempt, state, ...start, endMs, outcome: settled } as const;
    await this.apply(report, event, position);
  }

  private async apply(report: AttemptReport, event: TaskEvent, position: () => number): Promise<void> {
    const { agentId, hello } = this.session;
    const sequence = position();
    // Released before the commit: what follows from it may count on the free place.
    const held = this.session.heldAttempt(report.task) === report.attempt;
    const ends = held && isTerminal(report.state);
    if (ends) this.session.release(report.task);
    const ack = { agent: agentId, journalId: hello.journalId, sequence };
    const stored = this.untilStored(
      async () => void (await this.parts.changes.apply(report.task, event, ack)),
    );
    await (ends ? this.ending(report, stored) : stored);
  }

  /** Lets other reports of an attempt wait until its end is stored. */
  private async ending({ task, attempt }: AttemptReport, stored: Promise<void>): Promise<void> {
    const key = waitKey(task, attempt);
    this.ends.set(key, stored);
    try {
      await stored;
    } finally {
      this.ends.delete(key);
    }
  }

  /** Waits for the output of an attempt, once however often its end is told. */
  private async withOutput(report: AttemptReport, outcome: TaskOutcome): Promise<TaskOutcome> {
    if (outcome.stdoutBytes + outcome.stderrBytes === 0) return outcome;
    const key = waitKey(report.task, report.attempt);
    const settling = this.settling.get(key) ?? this.settle(report, outcome);
    this.settling.set(key, settling);
    try {
      return await settling;
    } finally {
      this.settling.delete(key);
    }
  }

  /** Waits for the output of an attempt, and answers its outcome with what is lost. */
  private async settle(report: AttemptReport, outcome: TaskOutcome): Promise<TaskOutcome> {
    const { task, attempt } = report;
    const wait = new OutputWait(
      this.ctx.clock,
      this.ctx.limits.outputDeadlineMs,
      outcome,
      this.session.signal,
    );
    this.waits.set(waitKey(task, attempt), wait);
    try {
      for (const stream of STREAMS)
        wait.progressed(await this.ctx.output.progress({ task, attempt, stream }));
      if (!(await wait.complete())) await this.declareLost(report, outcome);
    } finally {
      this.waits.delete(waitKey(task, attempt));
    }
    return { ...outcome, lostBytes: await this.ctx.output.lostBytes(task, attempt) };
  }

  private async declareLost(report: AttemptReport, outcome: TaskOutcome): Promise<void> {
    const { task, attempt } = report;
    for (const stream of STREAMS) {
      const { nextOffset } = await this.ctx.output.progress({ task, attempt, stream });
      const bytes = (stream === 'STDOUT' ? outcome.stdoutBytes : outcome.stderrBytes) - nextOffset;
      if (bytes <= 0) continue;
      this.ctx.log.warn('output is declared lost', { taskId: task, attempt, stream, bytes });
      this.ctx.metrics.outputLost(bytes);
      const gap = { task, attempt, stream, agent: this.session.agentId, offset: nextOffset, bytes };
      await this.untilStored(() => this.ctx.output.appendGap(gap));
    }
  }

  private untilStored<T>(work: () => Promise<T>): Promise<T> {
    return untilStored(this.ctx, this.session.signal, work);
  }
}

function waitKey(task: string, attempt: number): string {
  return `${attempt}/${task}`;
}
