import { isTerminal } from '../../../../src/model/task.js';
import { stateOf } from '../cases.js';
import type { Rule } from '../check.js';
import type { TaskView } from '../evidence.js';

/** Every accepted task is seen to end, in one way, and never changes afterwards. */
export const oneEnd: Rule = (found) => {
  if (!found.accepted) return [];
  const problems: string[] = [];
  const ends = found.told.filter(({ what }) => isTerminal(stateOf(what.state)));
  if (ends.length > 1) problems.push(`its end was told ${ends.length} times`);
  const views = found.seen.map(({ what }) => what);
  const first = views.find((view) => isTerminal(view.state));
  if (!first) return [...problems, `it did not end; it was last seen ${views.at(-1)?.state ?? 'never'}`];
  for (const view of views.slice(views.indexOf(first) + 1)) {
    if (textOfView(view) !== textOfView(first))
      problems.push(`it ended as ${textOfView(first)} and was seen as ${textOfView(view)} later`);
  }
  for (const { what } of ends) {
    if (what.state !== first.state)
      problems.push(`its end was told as ${what.state} and seen as ${first.state}`);
  }
  return problems;
};

function textOfView({ state, attempt, reason, exitCode, endTime, bytes, lostBytes }: TaskView): string {
  return JSON.stringify({ state, attempt, reason, exitCode, endTime, bytes, lostBytes });
}
