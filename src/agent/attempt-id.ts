/** One run of a task. */
export interface AttemptId {
  readonly task: string;
  /** From 1. */
  readonly attempt: number;
}

/** A text that names an attempt; safe as a file name because task ids are. */
export function attemptKey(id: AttemptId): string {
  return `${id.task}~${id.attempt}`;
}
