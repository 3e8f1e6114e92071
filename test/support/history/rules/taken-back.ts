import { isTerminal, type TaskState } from '../../../../src/model/task.js';
import { stateOf, type TaskCase } from '../cases.js';
import type { Rule } from '../check.js';
import type { Piece, TaskView } from '../evidence.js';

/** What may be seen after a state within one attempt, besides the state itself. */
const NEXT: Readonly<Record<string, readonly TaskState[]>> = {
  DISPATCHED: ['RUNNING', 'QUEUED'],
  RUNNING: ['QUEUED'],
  QUEUED: [],
};

/** What was shown once is true for ever: no read takes back an acceptance, an attempt, a state or a byte. */
export const takenBack: Rule = (found) => {
  const problems: string[] = [];
  const { acceptedAt, missingAt } = found;
  if (acceptedAt !== undefined && missingAt !== undefined && missingAt > acceptedAt)
    problems.push('it was accepted, and a later read did not find it');
  problems.push(...found.stale.map((state) => `its end was told, and a later read showed ${state}`));
  const views = found.seen.map(({ what }) => what);
  views.forEach((view, index) => {
    const before = views[index - 1];
    if (before && !follows(before, view))
      problems.push(
        `it was ${before.state} at attempt ${before.attempt}, then ${view.state} at ${view.attempt}`,
      );
  });
  return [...problems, ...eventProblems(found), ...outputProblems(found)];
};

function follows(before: TaskView, after: TaskView): boolean {
  if (isTerminal(before.state)) return true;
  if (after.attempt !== before.attempt) return after.attempt > before.attempt;
  return (
    after.state === before.state ||
    isTerminal(after.state) ||
    Boolean(NEXT[before.state]?.includes(after.state))
  );
}

/** Nothing is told of a task behind its end. */
function eventProblems({ told }: TaskCase): readonly string[] {
  const end = told.findIndex(({ what }) => isTerminal(stateOf(what.state)));
  const after = end < 0 ? [] : told.slice(end + 1);
  return after.map(({ what }) => `${what.change} was told after its end`);
}

/** A follower is shown what is stored: each byte once, in the order of its stream. */
function outputProblems({ shown, stored }: TaskCase): readonly string[] {
  const problems: string[] = [];
  for (const [key, pieces] of byStream(shown)) {
    const whole = textAt(byStream(stored).get(key) ?? []);
    let next = 0;
    for (const { offset, data, gapBytes } of pieces) {
      if (offset !== next) problems.push(`${key} was shown from ${offset} after ${next}`);
      if (whole.slice(offset, offset + data.length) !== data)
        problems.push(`${key} was shown with other bytes at ${offset} than are stored`);
      next = offset + data.length + gapBytes;
    }
  }
  return problems;
}

function textAt(pieces: readonly Piece[]): string {
  return pieces.map(({ data, gapBytes }) => data + '\0'.repeat(gapBytes)).join('');
}

function byStream(pieces: readonly Piece[]): ReadonlyMap<string, readonly Piece[]> {
  const found = new Map<string, Piece[]>();
  for (const piece of pieces) {
    const key = `attempt ${piece.attempt} ${piece.stream}`;
    found.set(key, [...(found.get(key) ?? []), piece]);
  }
  return found;
}
