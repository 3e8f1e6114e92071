import { randomUUID } from 'node:crypto';
import type { CreateTaskRequest, DeepPartial } from '../../gen/vmagent/v1/hub_service.js';
import type { LogRecord } from '../../gen/vmagent/v1/log.js';
import type { Task } from '../../gen/vmagent/v1/task.js';
import { onAbort, untilAborted } from '../base/abort.js';
import { systemClock } from '../base/clock.js';
import { HubError } from '../model/hub-error.js';
import { resuming, retrying } from './resume.js';
import { streamLogs } from './streams.js';
import { hasEnded, type TasksClient } from './tasks.js';
import type { Transport } from './transport.js';

/** What to run: fields of an `exec` task. `agent` and one of `command` (a shell line) and `argv` are required. */
export type ExecRequest = DeepPartial<Omit<CreateTaskRequest, 'type' | 'wait'>>;

/** Options of {@link exec}. */
export interface ExecOptions {
  /** Called with each run of bytes; the next one comes when the promise has resolved. */
  readonly onStdout?: (data: Uint8Array) => void | Promise<void>;
  readonly onStderr?: (data: Uint8Array) => void | Promise<void>;
  /** Called when output bytes are lost for good. */
  readonly onGap?: (bytes: number) => void;
  /** Called once the task is accepted, with its state: QUEUED with AGENT_OFFLINE means that it waits. */
  readonly onAccepted?: (task: Task) => void;
  /** Cancels the task; the promise then resolves with the task as it ended, or rejects after `cancelGraceMs`. */
  readonly signal?: AbortSignal;
  /** Kills the task at once and rejects with this signal's reason without waiting for its end. */
  readonly forceSignal?: AbortSignal;
  /** How long a cancelled task may take to end, in milliseconds. Default 15000. */
  readonly cancelGraceMs?: number;
  /** How long the hub may be away, in milliseconds. Default 60000. */
  readonly reconnectMs?: number;
}

/** How long a forced cancel is waited for. */
const FORCE_MS = 2_000;

/**
 * Runs a command in a lane of its own, hands out its output as it comes and resolves with the task as it ended,
 * however it ended. A restart of the hub in between is not noticed.
 */
export async function exec(
  transport: Transport,
  tasks: TasksClient,
  request: ExecRequest,
  options: ExecOptions = {},
): Promise<Task> {
  options.signal?.throwIfAborted();
  const id = request.id || `exec-${randomUUID()}`;
  const windowMs = options.reconnectMs ?? 60_000;
  // The id makes a second call harmless.
  const task = { ...request, type: 'exec', id, lane: request.lane || id };
  const accepted = await retrying(transport, { windowMs }, () => tasks.create(task));
  if (accepted.task) options.onAccepted?.(accepted.task);
  return new Execution(transport, tasks, id, windowMs, options).run();
}

class Execution {
  private readonly stop = new AbortController();
  private grace: Disposable | undefined;
  private ended: Task | undefined;

  constructor(
    private readonly transport: Transport,
    private readonly tasks: TasksClient,
    private readonly id: string,
    private readonly windowMs: number,
    private readonly options: ExecOptions,
  ) {}

  async run(): Promise<Task> {
    const { signal = this.stop.signal, forceSignal = this.stop.signal } = this.options;
    const cancelling = onAbort(signal, () => this.cancel());
    const forcing = onAbort(forceSignal, (reason) => this.force(reason));
    try {
      const options = { signal: this.stop.signal, windowMs: this.windowMs };
      for await (const record of resuming(this.transport, options, (cursor) => this.output(cursor))) {
        await this.deliver(record);
      }
    } finally {
      cancelling[Symbol.dispose]();
      forcing[Symbol.dispose]();
      this.grace?.[Symbol.dispose]();
    }
    if (!this.ended) throw new HubError('INTERNAL', `the output of task ${this.id} ended before the task`);
    return this.ended;
  }

  private async *output(cursor: string): AsyncGenerator<LogRecord, void, undefined> {
    const { signal } = this.stop;
    const from = cursor ? { cursor } : {};
    yield* streamLogs(this.transport, { task: this.id, follow: true, format: 'BYTES', ...from }, { signal });
    const task = await this.tasks.get(this.id, { signal });
    // A hub that stops may end its streams politely; that must not be taken for the end of the output.
    if (!hasEnded(task)) throw new HubError('HUB_STOPPING', 'the hub ended the stream before the task ended');
    this.ended = task;
  }

  private async deliver(record: LogRecord): Promise<void> {
    if (record.stream === 'GAP') {
      this.options.onGap?.(record.gapBytes);
      return;
    }
    const sink = record.stream === 'STDERR' ? this.options.onStderr : this.options.onStdout;
    try {
      await untilAborted(Promise.resolve(sink?.(record.data)), this.stop.signal);
    } catch (err) {
      // Nobody reads the output any more, so nobody wants the command either.
      if (!this.stop.signal.aborted) await this.sendCancel(false, FORCE_MS);
      throw err;
    }
  }

  private cancel(): void {
    const graceMs = this.options.cancelGraceMs ?? 15_000;
    const late = new HubError(
      'CANCELLED',
      `task ${this.id} was cancelled and has not ended after ${graceMs} ms`,
    );
    this.grace = systemClock.after(graceMs, () => this.stop.abort(late));
    void this.sendCancel(false, graceMs);
  }

  private force(reason: unknown): void {
    void this.sendCancel(true, FORCE_MS).then(() => this.stop.abort(reason));
  }

  /** Tells the hub as well as it can; whether it worked shows in the task. */
  private async sendCancel(force: boolean, windowMs: number): Promise<void> {
    const options = { force, deadlineMs: windowMs };
    const cancel = () => this.tasks.cancel(this.id, options);
    await retrying(this.transport, { windowMs }, cancel).catch(() => {});
  }
}
