import { AsyncQueue } from '../base/async-queue.js';
import { runDetached } from '../base/detached.js';
import { HubError } from '../model/hub-error.js';
import type { OutputProgress, StreamKey } from '../model/output.js';
import type { AgentSession } from './agent-session.js';
import type { HubContext } from './context.js';
import type { OutputFrame } from './protocol.js';
import type { ReportIntake } from './report-intake.js';

/** How much of the agent's window may wait for the disk here, as a multiple: an agent that sends more is broken. */
const WINDOW_SLACK = 2;

/**
 * Takes one output stream of one session into the output log and answers how far it is durable. Acknowledgements
 * that pile up are merged: only the newest of each stream counts.
 */
export class OutputIntake {
  private readonly acks = new Map<string, OutputProgress>();
  private readonly wake = new AsyncQueue<void>(1);
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
      for (let next = await frames.next(); !next.done; next = await frames.next())
        await this.take(next.value);
      this.wake.end();
    } catch (err) {
      this.wake.fail(HubError.from(err));
    }
  }

  private async take(frame: OutputFrame): Promise<void> {
    if (frame.type === 'open')
      throw new HubError('PROTOCOL_ERROR', 'session_generation: only as the first frame');
    const agent = this.session.agentId;
    if (frame.type === 'gap') {
      if (!this.accepts(frame.gap, frame.gap.bytes)) return;
      this.ctx.metrics.outputLost(frame.gap.bytes);
      this.stored(await this.ctx.output.appendGap({ ...frame.gap, agent }));
      return;
    }
    const { chunk } = frame;
    if (!this.accepts(chunk, chunk.data.length)) return;
    this.pendingBytes += chunk.data.length;
    const appended = this.ctx.output.append({ ...chunk, agent }).then((progress) => {
      this.pendingBytes -= chunk.data.length;
      this.ctx.metrics.outputStored(chunk.data.length);
      this.stored(progress);
    });
    if (this.pendingBytes > WINDOW_SLACK * this.ctx.limits.outputWindowBytes) await appended;
    else appended.catch((err: unknown) => this.wake.fail(HubError.from(err)));
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
    this.acks.set(`${progress.attempt}/${progress.stream}/${progress.task}`, progress);
    this.wake.push(undefined);
  }
}
