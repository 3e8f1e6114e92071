import { readdirSync } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../base/clock.js';
import type { Logger } from '../base/logger.js';
import { emptyOutcome, type TaskOutcome } from '../model/task.js';
import { type AttemptId, attemptKey } from './attempt-id.js';
import type { Journal } from './journal.js';
import type { OutputQueue } from './output-queue.js';
import { isRunning, killMarked, pidsWithMark } from './proc-tree.js';
import { Spool, type SpoolLimits } from './spool.js';

/** For killed processes of an earlier agent to be gone. */
const GONE_MS = 5000;

/** What {@link AttemptStore} needs. */
export interface AttemptStoreOptions {
  /** Holds one directory an attempt. */
  readonly spoolDir: string;
  readonly limits: SpoolLimits;
  readonly journal: Journal;
  readonly output: OutputQueue;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Journal and spools of all attempts on disk, and what is to be done about them after a crash of the agent. */
export class AttemptStore {
  constructor(private readonly options: AttemptStoreOptions) {}

  /** The value that marks all processes of an attempt. */
  mark(id: AttemptId): string {
    return `${this.options.journal.id}/${attemptKey(id)};`;
  }

  /** A spool for an attempt that is about to run. */
  newSpool(id: AttemptId): Spool {
    const spool = new Spool(id, join(this.options.spoolDir, attemptKey(id)), this.options.limits);
    this.options.output.add(spool);
    return spool;
  }

  /** Kills what an earlier agent left running, ends its attempts as LOST, and takes up what was not sent. */
  async recover(): Promise<void> {
    const { journal, spoolDir, output } = this.options;
    await this.killLeftovers();
    await mkdir(spoolDir, { recursive: true, mode: 0o700 });
    await this.removeUnknownSpools();
    for (const { started, ended } of journal.all()) {
      const report = ended ?? started;
      if (report === undefined) continue;
      const { task, attempt, outcome } = report;
      const spool = this.recoverSpool({ task, attempt });
      if (outcome !== undefined)
        spool?.declareTotals({ STDOUT: outcome.stdoutBytes, STDERR: outcome.stderrBytes });
      if (spool !== undefined) output.add(spool);
      if (ended === undefined) await this.lose({ task, attempt }, started?.startMs, spool);
    }
  }

  private async lose(id: AttemptId, startMs: number | undefined, spool: Spool | undefined): Promise<void> {
    const { journal, clock, log } = this.options;
    const message = 'the agent ended while this ran; what became of it is not known';
    const outcome = withOutput(emptyOutcome('AGENT_CRASHED', message), spool);
    const { task, attempt } = id;
    const start = startMs === undefined ? {} : { startMs };
    await journal.record({ task, attempt, state: 'LOST', ...start, endMs: clock.now(), outcome });
    log.warn('an attempt was lost with the agent that ran it', { ...id });
  }

  private recoverSpool(id: AttemptId): Spool | undefined {
    const { spoolDir, limits } = this.options;
    const spool = new Spool(id, join(spoolDir, attemptKey(id)), limits);
    spool.recover();
    return spool;
  }

  private async killLeftovers(): Promise<void> {
    const { journal, clock, log } = this.options;
    const prefixes = [journal.id, ...journal.former].map((id) => `${id}/`);
    const found = prefixes.reduce((sum, prefix) => sum + killMarked(prefix), 0);
    if (found === 0) return;
    log.warn('processes of an earlier agent were killed', { processes: found });
    const deadline = clock.monotonic() + GONE_MS;
    const running = () => prefixes.some((prefix) => pidsWithMark(prefix).some(isRunning));
    while (running() && clock.monotonic() < deadline) await clock.sleep(10);
  }

  private async removeUnknownSpools(): Promise<void> {
    const { spoolDir, journal } = this.options;
    const known = new Set(
      journal
        .all()
        .flatMap(({ started, ended }) => [started, ended].flatMap((r) => (r ? [attemptKey(r)] : []))),
    );
    for (const name of readdirSync(spoolDir))
      if (!known.has(name)) await rm(join(spoolDir, name), { recursive: true, force: true });
  }
}

/** An outcome with what the spool knows of the output. */
export function withOutput(outcome: TaskOutcome, spool: Spool | undefined): TaskOutcome {
  if (spool === undefined) return outcome;
  return {
    ...outcome,
    stdoutBytes: spool.totals.STDOUT,
    stderrBytes: spool.totals.STDERR,
    stdoutTail: spool.tail('STDOUT'),
    stderrTail: spool.tail('STDERR'),
  };
}
