import type { OutputChunk, OutputGap, OutputProgress, OutputRecord, StreamKey } from '../model/output.js';

/**
 * The log of everything that tasks write, in the order in which it came: one sequence of records for the whole
 * hub. A cursor is a position in it. The contract suite is test/contract/output-log-suite.ts.
 */
export interface OutputLog extends AsyncDisposable {
  /** Opens the log and mends what a crash left behind its durable length. */
  open(): Promise<void>;
  /** Idempotent. */
  close(): Promise<void>;
  /** Resolves when the log can be written now. */
  check(): Promise<void>;
  /**
   * Stores a chunk iff it begins where its stream ends. Resolves once it is durable, or at once with
   * `rewind: true` when it lies ahead; what is stored already is dropped.
   *
   * @throws DISK_FULL; the stream is where it was.
   */
  append(chunk: OutputChunk): Promise<OutputProgress>;
  /** Stores that bytes are lost: the stream goes on behind them. Rules as `append`. */
  appendGap(gap: OutputGap): Promise<OutputProgress>;
  /** Where a stream ends. */
  progress(key: StreamKey): Promise<OutputProgress>;
  /** Bytes declared lost of an attempt. */
  lostBytes(task: string, attempt: number): Promise<number>;
  /**
   * The next records of a scope behind a cursor, oldest first, about `maxBytes` of them.
   *
   * @throws LOG_EXPIRED when records behind the cursor were deleted by retention.
   */
  read(query: ReadQuery): Promise<ReadPage>;
  /** A cursor from which `read` answers at least the last `lines` lines of a scope (lines end with \n). */
  cursorForLast(scope: OutputScope, lines: number): Promise<number>;
  /** Position behind the last durable record. */
  end(): number;
  /** Calls `fn` whenever records became durable. */
  listen(fn: () => void): Disposable;
  /** Deletes the oldest segments until at most `maxBytes` remain and none is older than `minTimeMs`. */
  expire(limits: { readonly maxBytes: number; readonly minTimeMs: number }): Promise<void>;
}

/** Output of one task, or of all tasks of an agent. */
export type OutputScope = { readonly task: string } | { readonly agent: string };

export interface ReadQuery {
  readonly scope: OutputScope;
  /** 0 for the beginning. */
  readonly after: number;
  readonly maxBytes: number;
}

export interface ReadPage {
  readonly records: readonly OutputRecord[];
  /** Where the next page begins: behind the last record, or at the log's end when there are no more. */
  readonly next: number;
  /** True when nothing more is stored now. */
  readonly atEnd: boolean;
}
