import { existsSync, readdirSync } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../base/clock.js';
import type { Logger } from '../base/logger.js';
import type { AttemptReport } from '../model/agent-protocol.js';
import { emptyOutcome, type TaskOutcome } from '../model/task.js';
import { type AttemptId, attemptKey } from './attempt-id.js';
import type { Ending } from './executors/executor.js';
import type { Journal } from './journal.js';
import { readExit } from './keeper/exit-file.js';
import type { FoundAttempt, KeeperClient } from './keeper/keeper-client.js';
import type { ExitRecord } from './keeper/messages.js';
import type { KillScope } from './kill-scope.js';
import type { OutputQueue } from './output-queue.js';
import { isRunning, killMarked, pidsWithMark } from './proc-tree.js';
import { Spool } from './spool.js';
import { TaskTree } from './task-tree.js';

/** For killed processes of an earlier agent to be gone. */
const GONE_MS = 5000;
const MAX_MESSAGE_CHARACTERS = 1024;

/** What {@link AttemptStore} needs. */
export interface AttemptStoreOptions {
  /** Holds one directory an attempt; it is there. */
  readonly spoolDir: string;
  readonly journal: Journal;
  readonly output: OutputQueue;
  readonly keeper: KeeperClient;
  readonly scope: KillScope;
  readonly clock: Clock;
  readonly log: Logger;
}

/** An attempt that went on while no agent was there. */
export interface TakenOver extends FoundAttempt {
  readonly startMs: number | undefined;
}

/** Journal and spools of all attempts on disk, and what is to be done about them after a crash. */
export class AttemptStore {
  constructor(private readonly options: AttemptStoreOptions) {}

  /** Takes up the output of an attempt that is about to run. */
  openSpool(id: AttemptId): void {
    this.options.output.add(this.reader(id));
  }

  /**
   * Takes over what the keeper has, kills what nobody knows, ends as LOST what is nowhere to be found, and takes
   * up what was not sent. Answers what still runs.
   */
  async recover(): Promise<readonly TakenOver[]> {
    const { journal, keeper } = this.options;
    const { lived, attempts } = await keeper.takeOver();
    const found = new Map(attempts.map((one) => [attemptKey(one.attempt), one]));
    await this.endUnknown([...found.values()]);
    if (!journal.isNew)
      await this.killAll(this.marks(''), new Set([...found.values()].map(({ attempt }) => attempt.mark)));
    await this.removeUnknownSpools();
    const running: TakenOver[] = [];
    for (const { started, ended } of journal.all()) {
      const report = ended ?? started;
      const one = report && found.get(attemptKey(report));
      if (report === undefined) continue;
      if (ended === undefined && one === undefined && lived && !existsSync(this.dirOf(report))) {
        await this.neverRan(report);
        continue;
      }
      this.recoverSpool(report, one);
      if (ended !== undefined) keeper.release(ended);
      else if (one !== undefined && one.attempt.record === undefined)
        running.push({ ...one, startMs: report.startMs });
      else await this.settle(report, report.startMs, one?.attempt.record);
    }
    return running;
  }

  /** Writes down the end that the keeper told. */
  async finish(id: AttemptId, startMs: number | undefined, record: ExitRecord): Promise<AttemptReport> {
    const { task, attempt } = id;
    this.options.output.get({ task, attempt })?.declareTotals(record.totals);
    const report = await this.record(id, startMs, record, {
      stdoutBytes: record.totals.STDOUT,
      stderrBytes: record.totals.STDERR,
      stdoutTail: record.tails.STDOUT,
      stderrTail: record.tails.STDERR,
    });
    this.options.keeper.release({ task, attempt });
    return report;
  }

  /** Writes down the end of an attempt that wrote nothing. */
  finishPlain(id: AttemptId, startMs: number | undefined, ending: Ending): Promise<AttemptReport> {
    return this.record(id, startMs, { ending, endMs: this.options.clock.now() }, {});
  }

  /** The keeper is gone, and with it what ran: unless it left the end on disk, all of it is killed. */
  async lost(id: AttemptId, startMs: number | undefined): Promise<AttemptReport> {
    const marks = this.marks(`${attemptKey(id)};`);
    for (const mark of marks) new TaskTree(this.options.scope, mark).kill();
    await this.killAll(marks, new Set());
    const before = this.options.output.get(id);
    const spool = this.reader(id);
    spool.recover();
    if (before !== undefined) spool.resume(before);
    this.options.output.add(spool);
    before?.close();
    return await this.settle(id, startMs, undefined);
  }

  private async settle(
    id: AttemptId,
    startMs: number | undefined,
    record: ExitRecord | undefined,
  ): Promise<AttemptReport> {
    const known = record ?? readExit(this.dirOf(id));
    return known === undefined ? await this.lose(id, startMs) : await this.finish(id, startMs, known);
  }

  private async lose(id: AttemptId, startMs: number | undefined): Promise<AttemptReport> {
    const { output, clock, log } = this.options;
    const { task, attempt } = id;
    const message = 'the agent ended while this ran; what became of it is not known';
    const ending: Ending = { state: 'LOST', reason: 'AGENT_CRASHED', message };
    log.warn('an attempt was lost with the process that ran it', { task, attempt });
    const spool = output.get({ task, attempt });
    return await this.record(id, startMs, { ending, endMs: clock.now() }, spool ? outputOf(spool) : {});
  }

  private async record(
    { task, attempt }: AttemptId,
    startMs: number | undefined,
    { ending, endMs }: Pick<ExitRecord, 'ending' | 'endMs'>,
    output: Partial<TaskOutcome>,
  ): Promise<AttemptReport> {
    const start = startMs === undefined ? {} : { startMs };
    const outcome = { ...outcomeOf(ending), ...output };
    return await this.options.journal.record({
      task,
      attempt,
      state: ending.state,
      ...start,
      endMs,
      outcome,
    });
  }

  /** Its start was written down, and the agent died before the keeper heard of it: the hub may hand it out again. */
  private async neverRan({ task, attempt }: AttemptId): Promise<void> {
    this.options.log.info('an attempt was not started before the agent died', { task, attempt });
    await this.options.journal.forget({ task, attempt });
  }

  private dirOf(id: AttemptId): string {
    return join(this.options.spoolDir, attemptKey(id));
  }

  private reader({ task, attempt }: AttemptId): Spool {
    const id = { task, attempt };
    return new Spool(id, this.dirOf(id), (before) => this.options.keeper.freed(id, before));
  }

  private recoverSpool(report: AttemptReport, found: FoundAttempt | undefined): void {
    const spool = this.reader(report);
    spool.recover();
    if (found !== undefined) spool.extend(found.attempt.end);
    const { outcome } = report;
    if (outcome !== undefined)
      spool.declareTotals({ STDOUT: outcome.stdoutBytes, STDERR: outcome.stderrBytes });
    this.options.output.add(spool);
  }

  /** The hub had no use for these any more when the agent died. */
  private async endUnknown(found: readonly FoundAttempt[]): Promise<void> {
    const { journal, keeper } = this.options;
    const unknown = found.filter(({ attempt }) => journal.get(attempt) === undefined);
    for (const { attempt } of unknown) keeper.stop(attempt, 'FORGOTTEN', true);
    for (const { attempt, end } of unknown) {
      await end;
      keeper.release(attempt);
    }
  }

  /** Marks that this text ends, of this journal and of those that it goes on from. */
  private marks(end: string): readonly string[] {
    const { journal } = this.options;
    return [journal.id, ...journal.former].map((id) => `${id}/${end}`);
  }

  private async killAll(prefixes: readonly string[], except: ReadonlySet<string>): Promise<void> {
    const { clock, log } = this.options;
    const found = prefixes.reduce((sum, prefix) => sum + killMarked(prefix, except), 0);
    if (found === 0) return;
    log.warn('processes that nobody watches any more were killed', { processes: found });
    const deadline = clock.monotonic() + GONE_MS;
    const running = () => prefixes.some((prefix) => pidsWithMark(prefix, except).some(isRunning));
    while (running() && clock.monotonic() < deadline) await clock.sleep(10);
  }

  private async removeUnknownSpools(): Promise<void> {
    const { spoolDir, journal } = this.options;
    await mkdir(spoolDir, { recursive: true, mode: 0o700 });
    const known = new Set(
      journal
        .all()
        .flatMap(({ started, ended }) => [started, ended].flatMap((r) => (r ? [attemptKey(r)] : []))),
    );
    for (const name of readdirSync(spoolDir))
      if (!known.has(name)) await rm(join(spoolDir, name), { recursive: true, force: true });
  }
}

function outputOf(spool: Spool): Partial<TaskOutcome> {
  return {
    stdoutBytes: spool.totals.STDOUT,
    stderrBytes: spool.totals.STDERR,
    stdoutTail: spool.tail('STDOUT'),
    stderrTail: spool.tail('STDERR'),
  };
}

function outcomeOf({ exitCode, signal, reason, message, killed = false, result }: Ending): TaskOutcome {
  return {
    ...emptyOutcome(reason, message?.slice(0, MAX_MESSAGE_CHARACTERS)),
    ...(exitCode === undefined ? {} : { exitCode }),
    ...(signal === undefined ? {} : { signal }),
    killed,
    ...(result === undefined ? {} : { result }),
  };
}
