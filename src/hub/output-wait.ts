import { onAbort } from '../base/abort.js';
import type { Clock } from '../base/clock.js';
import { deferred } from '../base/deferred.js';
import type { OutputProgress } from '../model/output.js';

/** Waits until both streams of one attempt are stored to their ends. The deadline counts from the last progress. */
export class OutputWait {
  private readonly next = { STDOUT: 0, STDERR: 0 };
  private readonly done = deferred<boolean>();
  private timer: Disposable | undefined;

  constructor(
    private readonly clock: Clock,
    private readonly deadlineMs: number,
    private readonly ends: { readonly stdoutBytes: number; readonly stderrBytes: number },
    private readonly signal: AbortSignal,
  ) {}

  /** A stream is stored up to here. */
  progressed(progress: OutputProgress): void {
    this.next[progress.stream] = Math.max(this.next[progress.stream], progress.nextOffset);
    const { stdoutBytes, stderrBytes } = this.ends;
    if (this.next.STDOUT >= stdoutBytes && this.next.STDERR >= stderrBytes) this.done.resolve(true);
    else this.restart();
  }

  /** Nothing can be stored now, which is not counted against the agent. */
  stalled(): void {
    this.restart();
  }

  /** True when all is stored, false at the deadline. @throws the signal's reason. */
  async complete(): Promise<boolean> {
    using _ = onAbort(this.signal, (reason) => this.done.reject(reason));
    try {
      return await this.done.promise;
    } finally {
      this.timer?.[Symbol.dispose]();
    }
  }

  private restart(): void {
    this.timer?.[Symbol.dispose]();
    this.timer = this.clock.after(this.deadlineMs, () => this.done.resolve(false));
  }
}
