import { freshId } from '../base/fresh-id.js';
import type { AttemptReport } from '../model/agent-protocol.js';
import { isTerminal } from '../model/task.js';
import { type AttemptId, attemptKey } from './attempt-id.js';
import { JournalFile, type JournalFileOptions } from './journal-file.js';

/** Records that are no longer needed before the file is rewritten. */
const COMPACT_RECORDS = 1000;

type JournalRecord =
  | {
      readonly kind: 'journal';
      readonly id: string;
      readonly vmGeneration: number;
      readonly sequence: number;
      /** Ids of damaged journals that this one goes on from. */
      readonly former?: readonly string[];
    }
  | { readonly kind: 'report'; readonly report: AttemptReport }
  | { readonly kind: 'forgotten'; readonly task: string; readonly attempt: number };

/** What {@link Journal} needs. */
export interface JournalOptions extends JournalFileOptions {
  /** Generation of the machine; a journal of another generation is thrown away. */
  readonly vmGeneration: number;
}

/** What the journal knows of one attempt: its start, its end, or both. */
export interface JournalEntry {
  readonly started?: AttemptReport;
  readonly ended?: AttemptReport;
}

/**
 * What the agent has done, durable: RUNNING before a process is spawned, the end before it is reported. An
 * attempt stays until the hub has acknowledged its end or has no use for it. A journal that lost records in its middle
 * goes on under another id, which tells the hub that it cannot vouch for what it does not know.
 */
export class Journal {
  private readonly entries = new Map<string, JournalEntry>();
  private stale = 0;
  private appending = 0;
  private compacting: Promise<void> | undefined;
  /** Told of each record when it is durable, in the order of their sequences. */
  recorded: (report: AttemptReport) => void = () => {};

  private constructor(
    private readonly file: JournalFile,
    private readonly vmGeneration: number,
    /** Random per journal. */
    readonly id: string,
    private last: number,
    /** Ids of damaged journals that this one goes on from: what they started may still run. */
    readonly former: readonly string[],
    /** Whether it was begun just now: nothing on this machine can be of it. */
    readonly isNew = false,
  ) {}

  /** Opens the journal, or begins a new one when there is none of this generation of the machine. */
  static async open(options: JournalOptions): Promise<Journal> {
    const { file, records, damaged } = await JournalFile.open(options);
    const known = records as JournalRecord[];
    const head = known[0];
    const { vmGeneration } = options;
    if (head?.kind !== 'journal' || head.vmGeneration !== vmGeneration) {
      const journal = new Journal(file, vmGeneration, freshId(), 0, [], true);
      await file.rewrite([journal.head()]);
      return journal;
    }
    const former = [...(head.former ?? []), ...(damaged ? [head.id] : [])];
    const id = damaged ? freshId() : head.id;
    const journal = new Journal(file, vmGeneration, id, head.sequence, former);
    for (const record of known.slice(1)) journal.replay(record);
    if (damaged) await file.rewrite(journal.content());
    return journal;
  }

  /** Sequence of the last record. */
  get sequence(): number {
    return this.last;
  }

  /** Attempts in the order in which they were first heard of. */
  all(): readonly JournalEntry[] {
    return [...this.entries.values()];
  }

  /** What is known of an attempt. */
  get(id: AttemptId): JournalEntry | undefined {
    return this.entries.get(attemptKey(id));
  }

  /** Writes a start or an end down; resolves with it, and its sequence, when it is durable. */
  async record(fact: Omit<AttemptReport, 'sequence'>): Promise<AttemptReport> {
    this.last += 1;
    const report = { ...fact, sequence: this.last };
    await this.append({ kind: 'report', report });
    this.apply(report);
    this.recorded(report);
    return report;
  }

  /** The hub has stored all reports up to here. Answers the attempts that are over and no longer known. */
  acked(sequence: number): readonly AttemptReport[] {
    const over = this.all().flatMap(({ ended }) => (ended && ended.sequence <= sequence ? [ended] : []));
    for (const report of over) this.drop(report);
    return over;
  }

  /** Forgets an attempt that the hub has no use for. */
  async forget(id: AttemptId): Promise<void> {
    if (this.get(id) === undefined) return;
    const { task, attempt } = id;
    this.drop(id);
    await this.append({ kind: 'forgotten', task, attempt });
  }

  /** Rewrites the file when most of it is no longer needed. Cheap when it is not. */
  async compact(): Promise<void> {
    if (
      this.appending > 0 ||
      this.compacting ||
      this.stale < COMPACT_RECORDS ||
      this.stale < this.entries.size
    )
      return;
    this.stale = 0;
    this.compacting = this.file.rewrite(this.content()).finally(() => {
      this.compacting = undefined;
    });
    await this.compacting;
  }

  close(): Promise<void> {
    return this.file.close();
  }

  private head(): JournalRecord {
    const { id, vmGeneration, last, former } = this;
    return { kind: 'journal', id, vmGeneration, sequence: last, ...(former.length > 0 ? { former } : {}) };
  }

  private content(): readonly JournalRecord[] {
    const live = this.all().flatMap(({ started, ended }) => [started, ended]);
    return [this.head(), ...live.flatMap((report) => (report ? [{ kind: 'report' as const, report }] : []))];
  }

  private async append(record: JournalRecord): Promise<void> {
    this.appending += 1;
    await this.compacting?.catch(() => {});
    await this.file.append(record).finally(() => {
      this.appending -= 1;
    });
  }

  private replay(record: JournalRecord): void {
    if (record.kind === 'report') {
      this.last = Math.max(this.last, record.report.sequence);
      this.apply(record.report);
    } else if (record.kind === 'forgotten') this.drop(record);
  }

  private apply(report: AttemptReport): void {
    const entry = this.get(report) ?? {};
    const next = isTerminal(report.state) ? { ...entry, ended: report } : { ...entry, started: report };
    this.entries.set(attemptKey(report), next);
  }

  private drop(id: AttemptId): void {
    if (this.entries.delete(attemptKey(id))) this.stale += 2;
  }
}
