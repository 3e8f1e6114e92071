import { casesOf, type TaskCase } from './cases.js';
import type { History } from './evidence.js';
import { aliveAfterEnd } from './rules/alive.js';
import { identity } from './rules/identity.js';
import { oneEnd } from './rules/one-end.js';
import { output } from './rules/output.js';
import { runs } from './rules/runs.js';
import { takenBack } from './rules/taken-back.js';

/** How strictly a run is judged. */
export interface Judgement {
  /** Reasons for which a task may be LOST in this run; with none, no task may be. */
  readonly lostReasons: readonly string[];
  /** Whether bytes may be declared missing, for tasks that are not LOST. */
  readonly gapsAllowed?: boolean;
}

/** Something that must never happen. */
export interface Violation {
  readonly rule: string;
  /** Name of the task. */
  readonly task: string;
  readonly what: string;
}

/** One promise: answers what breaks it. */
export type Rule = (found: TaskCase, judgement: Judgement) => readonly string[];

const RULES: Readonly<Record<string, Rule>> = { oneEnd, runs, output, aliveAfterEnd, identity, takenBack };

/** Judges a run of the whole system by what was observed of it from outside. Empty when every promise was kept. */
export function check(history: History, judgement: Judgement): readonly Violation[] {
  const { byName, strange } = casesOf(history);
  const found = [...byName.values()].flatMap((task) =>
    Object.entries(RULES).flatMap(([rule, broken]) =>
      broken(task, judgement).map((what) => ({ rule, task: task.plan.name, what })),
    ),
  );
  return [...strange.map((what) => ({ rule: 'identity', task: '', what })), ...found];
}
