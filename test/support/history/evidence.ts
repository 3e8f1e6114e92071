import type { OutputStream } from '../../../src/model/output.js';
import type { TaskState } from '../../../src/model/task.js';

/** What a task does when it runs, known before: its output and its end can be told for every attempt. */
export interface TaskPlan {
  /** Unique in a run; the task writes it into its marker and into every line. */
  readonly name: string;
  /** Lines that it writes to each stream. */
  readonly lines: Readonly<Record<OutputStream, number>>;
  /** Attempts with this number or a smaller one end with {@link exitCode}, all others with 0. */
  readonly failUntil: number;
  readonly exitCode: number;
  /** How often it may run. */
  readonly maxAttempts: number;
}

/** A task as a read of the API showed it. */
export interface TaskView {
  readonly id: string;
  readonly state: TaskState;
  readonly attempt: number;
  readonly reason: string;
  readonly exitCode?: number;
  readonly endTime: string;
  readonly bytes: Readonly<Record<OutputStream, number>>;
  readonly lostBytes: number;
  /** States of its attempts by number, where the read told them. */
  readonly attempts?: Readonly<Record<number, TaskState>>;
}

/** A run of bytes of one stream, or of bytes that are declared missing. */
export interface Piece {
  readonly id: string;
  readonly attempt: number;
  readonly stream: OutputStream;
  readonly offset: number;
  readonly data: string;
  /** Above 0 for bytes that are missing here; then `data` is empty. */
  readonly gapBytes: number;
}

/** One thing that was observed from outside. */
export type Evidence =
  /** A caller is about to hand it in, with its name as the idempotency key. */
  | { readonly type: 'posted'; readonly plan: TaskPlan }
  /** The hub answered that it has it. */
  | { readonly type: 'accepted'; readonly name: string; readonly id: string }
  /** The hub refused it for good. */
  | { readonly type: 'rejected'; readonly name: string; readonly reason: string }
  /** A caller is about to ask for its end. */
  | { readonly type: 'cancelled'; readonly name: string }
  /** A read showed it; `ended` says that its end had been observed when the read was begun. */
  | { readonly type: 'seen'; readonly view: TaskView; readonly ended?: boolean }
  /** A read said that there is no such task. */
  | { readonly type: 'missing'; readonly id: string }
  /** The stream of events told a change. */
  | {
      readonly type: 'told';
      readonly id: string;
      readonly change: string;
      readonly state: string;
      readonly reason: string;
    }
  /** A follower was shown output. */
  | { readonly type: 'shown'; readonly piece: Piece }
  /** Output as it is stored at the end of the run. */
  | { readonly type: 'stored'; readonly piece: Piece }
  /** The task itself wrote that it started. */
  | { readonly type: 'marker'; readonly name: string; readonly attempt: number }
  /** A process of it was alive in a look that began at this moment; `last` for the look after everything. */
  | { readonly type: 'alive'; readonly name: string; readonly pid: number; readonly last: boolean };

/** Everything that was observed, in order; a later entry was observed later. */
export class History {
  readonly #evidence: Evidence[] = [];

  get evidence(): readonly Evidence[] {
    return this.#evidence;
  }

  add(...evidence: readonly Evidence[]): void {
    this.#evidence.push(...evidence);
  }

  /**
   * Adds evidence as if it had been observed at an earlier position, such as the length when a look at the
   * processes began: what was observed since may not be held against it.
   */
  addAt(position: number, evidence: readonly Evidence[]): void {
    this.#evidence.splice(position, 0, ...evidence);
  }

  get length(): number {
    return this.#evidence.length;
  }
}

/** Exit code of one attempt. */
export function exitOf(plan: TaskPlan, attempt: number): number {
  return attempt <= plan.failUntil ? plan.exitCode : 0;
}

/** Everything that one attempt writes to a stream. */
export function textOf(plan: TaskPlan, attempt: number, stream: OutputStream): string {
  const lines = Array.from({ length: plan.lines[stream] }, (_, i) => lineOf(plan, attempt, stream, i + 1));
  return lines.join('');
}

function lineOf({ name }: TaskPlan, attempt: number, stream: OutputStream, line: number): string {
  return `${name} ${attempt} ${stream} ${line}\n`;
}
