import type { Clock } from '../../base/clock.js';
import type { Logger } from '../../base/logger.js';
import { Wakeups } from '../../base/wakeups.js';
import { execute } from '../executors/execute.js';
import type { Ending, ExecutorContext } from '../executors/executor.js';
import { OutputSink } from '../output-sink.js';
import type { PipePool } from '../pipe-pool.js';
import { SpoolWriter } from '../spool-writer.js';
import { StopSwitch } from '../stop.js';
import type { TreeSet } from '../tree-set.js';
import { writeExit } from './exit-file.js';
import type { ExitRecord, KeeperSettings, KeptAttempt, RunRequest } from './messages.js';

/** What a {@link TaskRun} needs. */
export interface TaskRunOptions {
  readonly request: RunRequest;
  readonly journalId: string;
  /** Marks the processes of this attempt. */
  readonly mark: string;
  /** Directory of its spool; it is there. */
  readonly dir: string;
  readonly tempDir: string;
  readonly settings: KeeperSettings;
  readonly pipes: PipePool;
  readonly trees: TreeSet;
  /** Output was stored. */
  readonly onStored: (run: TaskRun) => void;
  readonly clock: Clock;
  readonly log: Logger;
}

/** One attempt that the keeper runs, until the agent has its end in the journal. */
export class TaskRun {
  readonly stop = new StopSwitch();
  private readonly room = new Wakeups();
  private readonly spool: SpoolWriter;
  private ended: ExitRecord | undefined;

  constructor(private readonly options: TaskRunOptions) {
    this.spool = new SpoolWriter(options.dir, options.settings.spoolLimits);
  }

  /** How it ended; undefined while it runs. */
  get record(): ExitRecord | undefined {
    return this.ended;
  }

  get journalId(): string {
    return this.options.journalId;
  }

  /** What an agent is told of it. */
  get kept(): KeptAttempt {
    const { task, attempt, lane, stopLaneOnFailure } = this.options.request;
    const record = this.ended;
    const { end } = this.spool;
    const known = { task, attempt, lane, stopLaneOnFailure, mark: this.options.mark, end };
    return { ...known, ...(record === undefined ? {} : { record }) };
  }

  /** Runs it to its end, which is on disk then. */
  async run(): Promise<void> {
    const { request, clock, dir, log } = this.options;
    using _limit = clock.after(request.spec.timeoutMs, () => this.stop.stop('TIMEOUT'));
    const ending = await this.execute();
    this.spool.close();
    this.ended = this.recordOf(ending);
    try {
      writeExit(dir, this.ended);
    } catch (err) {
      log.warn('the end of an attempt could not be written', { error: err });
    }
  }

  /** The agent deleted files of the spool. */
  freed(before: number): void {
    this.spool.freed(before);
    this.room.notify();
  }

  private async execute(): Promise<Ending> {
    const { settings, mark, tempDir, pipes, trees, clock, log, request } = this.options;
    const { scope, ...executor } = settings;
    const { spool, room, stop } = this;
    if (stop.kind !== undefined) return { state: 'CANCELLED', reason: stop.kind };
    const onStored = () => this.options.onStored(this);
    const sink = new OutputSink({ spool, room, onStored, clock, log });
    const process = { scope, mark, sink, pipes, clock, trees, stop };
    const ctx: ExecutorContext = { ...executor, tempDir, log, process };
    return await execute(ctx, request.spec);
  }

  private recordOf(ending: Ending): ExitRecord {
    const { spool } = this;
    const tails = { STDOUT: spool.tail('STDOUT'), STDERR: spool.tail('STDERR') };
    return { ending, endMs: this.options.clock.now(), totals: spool.totals, tails };
  }
}
