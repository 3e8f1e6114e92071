import type { StreamKey } from '../../model/output.js';

/** A run of neighbouring records of one scope in the log. */
export interface Extent {
  readonly start: number;
  /** Position behind the last record. */
  readonly end: number;
}

/** How far one stream is stored. */
export interface StreamState {
  readonly nextOffset: number;
  readonly lostBytes: number;
}

/** What one batch of records adds to the index. */
export interface IndexChange {
  /** Durable length of the log. */
  readonly end: number;
  readonly streams: readonly (StreamKey & StreamState)[];
  /** Runs of records per scope, in the order of the log. */
  readonly extents: readonly (Extent & { readonly scope: string })[];
}

/** What is stored of the log. Positions count bytes since the log was made. */
export interface LogBounds {
  /** Position of the oldest segment that is kept. */
  readonly oldest: number;
  /** Position behind the last durable byte. */
  readonly end: number;
}

/**
 * The index of the output log: where each stream ends and where the records of a task or an agent lie. A scope
 * is a text made by {@link taskScope} or {@link agentScope}. Each call is durable when its promise resolves.
 */
export interface OutputIndex {
  bounds(): Promise<LogBounds>;
  /**
   * Adds a batch. An extent that begins where the last one of its scope ends makes that one longer, as long as it
   * stays below {@link MAX_EXTENT_BYTES}.
   */
  commit(change: IndexChange): Promise<void>;
  stream(key: StreamKey): Promise<StreamState | undefined>;
  /** Sum of the lost bytes of an attempt. */
  lostBytes(task: string, attempt: number): Promise<number>;
  /** Extents that end behind a position, oldest first. */
  extentsAfter(scope: string, position: number, limit: number): Promise<readonly Extent[]>;
  /** Extents that begin before a position, newest first. */
  extentsBefore(scope: string, position: number, limit: number): Promise<readonly Extent[]>;
  /** Forgets what lies before a position, which becomes the oldest. */
  expire(position: number): Promise<void>;
}

/** Longest extent, so that one can be read at once and damage stays small. */
export const MAX_EXTENT_BYTES = 4 * 1024 * 1024;

/** Scope of one task. */
export function taskScope(task: string): string {
  return `t:${task}`;
}

/** Scope of all tasks of an agent. */
export function agentScope(agent: string): string {
  return `a:${agent}`;
}
