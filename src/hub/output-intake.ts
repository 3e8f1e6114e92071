import { AsyncQueue } from '../base/async-queue.js';
import { Backoff } from '../base/backoff.js';
import { runDetached } from '../base/detached.js';
import { HubError } from '../model/hub-error.js';
import type { OutputChunk, OutputProgress, StreamKey } from '../model/output.js';
import type { AgentSession } from './agent-session.js';
import type { HubContext } from './context.js';
import type { OutputFrame } from './protocol.js';
import type { ReportIntake } from './report-intake.js';
import { isStorageDown, STORAGE_WAITS } from './storage-retry.js';

/** How much of the agent's window may wait for the disk here, as a multiple: an agent that sends more is broken. */
const WINDOW_SLACK = 2;

/**
 * Takes one output stream of one session into the output log and answers how far it is durable. Acknowledgements
 * that pile up are merged: only the newest of each stream counts.
 *
 * While the disk takes nothing, what comes is not kept here: nothing more is read, and as soon as the disk works
 * again the agent is asked to send from where each stream durably ends.
 */
export class OutputIntake {
  private readonly acks = new Map<string, OutputProgress>();
  private readonly wake = new AsyncQueue<void>(1);
  private readonly refused = new Map<string, StreamKey>();
  private waiting: Promise<void> | undefined;
  private pendingBytes = 0;

  constructor(
    private readonly ctx: HubContext,
    private readonly session: AgentSession,
    private readonly reports: ReportIntake,
  ) {}

  /** Reads frames until the agent closes, and yields acknowledgements. */
  async *run(frames: AsyncIterator<OutputFrame>): AsyncIterable<readonly OutputProgress[]> {
    runDetached(this.ctx.log, 'output', () => this.readAll(frames));
    for await (const _ of this.wake) {
      const batch = [...this.acks.values()];
      this.acks.clear();
      if (batch.length > 0) yield batch;
    }
  }

  private async readAll(frames: AsyncIterator<OutputFrame>): Promise<void> {
    try {
      for (let next = await frames.next(); !next.done; next = await frames.next()) {
        await this.waiting;
        await this.take(next.value);
      }
      await this.waiting;
      this.wake.end();
    } catch (err) {
      this.wake.fail(HubError.from(err));
    }
  }

  private async take(frame: OutputFrame): Promise<void> {
    if (frame.type === 'open')
      throw new HubError('PROTOCOL_ERROR', 'session_generation: only as the first frame');
    const agent = this.session.agentId;
    const run = frame.type === 'gap' ? frame.gap : frame.chunk;
    const bytes = frame.type === 'gap' ? frame.gap.bytes : frame.chunk.data.length;
    if (!this.accepts(run, bytes)) return;
    if (frame.type === 'gap') {
      const stored = await this.store(run, () => this.ctx.output.appendGap({ ...frame.gap, agent }));
      if (stored) this.ctx.metrics.outputLost(bytes);
      return;
    }
    const stored = this.takeChunk({ ...frame.chunk, agent });
    if (this.pendingBytes > WINDOW_SLACK * this.ctx.limits.outputWindowBytes) await stored;
    else stored.catch((err: unknown) => this.wake.fail(HubError.from(err)));
  }

  private async takeChunk(chunk: OutputChunk): Promise<void> {
    const bytes = chunk.data.length;
    this.pendingBytes += bytes;
    const stored = await this.store(chunk, () => this.ctx.output.append(chunk));
    this.pendingBytes -= bytes;
    if (stored) this.ctx.metrics.outputStored(bytes);
  }

  /** Answers whether it is stored. */
  private async store(key: StreamKey, append: () => Promise<OutputProgress>): Promise<boolean> {
    try {
      const progress = await append();
      // An answer to what was on its way when the disk failed would make the agent send again too early.
      if (!progress.rewind || !this.waiting) this.stored(progress);
      return !progress.rewind;
    } catch (err) {
      if (!isStorageDown(err)) throw err;
      this.refused.set(nameOf(key), key);
      this.waiting ??= this.untilWritable().catch((error: unknown) => this.wake.fail(HubError.from(error)));
      return false;
    }
  }

  /** A session that ends meanwhile has nobody to answer. */
  private async untilWritable(): Promise<void> {
    const { clock, output, log } = this.ctx;
    const { agentId, signal } = this.session;
    const backoff = new Backoff(STORAGE_WAITS);
    log.warn('output cannot be stored; its agent keeps it', { agentId });
    while (!signal.aborted) {
      this.reports.outputStalled();
      await clock.sleep(backoff.next(), signal).catch(() => {});
      const failed = await output.check().then(
        () => false,
        () => true,
      );
      if (failed) continue;
      log.info('output can be stored again', { agentId });
      break;
    }
    this.waiting = undefined;
    await this.askAgain();
  }

  private async askAgain(): Promise<void> {
    const keys = [...this.refused.values()];
    this.refused.clear();
    for (const { task, attempt, stream } of keys) {
      const progress = await this.ctx.output.progress({ task, attempt, stream });
      this.acknowledge({ ...progress, rewind: true });
    }
  }

  /** Output of an attempt that this session does not have in hand is acknowledged and dropped. */
  private accepts(run: StreamKey & { readonly offset: number }, bytes: number): boolean {
    if (this.session.heldAttempt(run.task) === run.attempt) return true;
    const { task, attempt, stream } = run;
    this.acknowledge({ task, attempt, stream, nextOffset: run.offset + bytes, rewind: false });
    return false;
  }

  private stored(progress: OutputProgress): void {
    this.acknowledge(progress);
    this.reports.progressed(progress);
  }

  private acknowledge(progress: OutputProgress): void {
    this.acks.set(nameOf(progress), progress);
    this.wake.push(undefined);
  }
}

function nameOf({ task, attempt, stream }: StreamKey): string {
  return `${attempt}/${stream}/${task}`;
}
