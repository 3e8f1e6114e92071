import type { TaskCase } from '../cases.js';
import type { Rule } from '../check.js';
import { exitOf, type TaskView } from '../evidence.js';

/** Each attempt runs at most once, only failed ones are repeated, and the end agrees with what ran. */
export const runs: Rule = (found, judgement) => {
  const { markers, plan, last } = found;
  if (!found.accepted) return [];
  const problems = doubled(markers).map((attempt) => `attempt ${attempt} ran more than once`);
  if (markers.length > plan.maxAttempts)
    problems.push(`it ran ${markers.length} times and may run ${plan.maxAttempts} times`);
  const newest = Math.max(0, ...markers);
  for (const attempt of markers) {
    const lost = last?.attempts?.[attempt] === 'LOST';
    if (attempt < newest && exitOf(plan, attempt) === 0 && !lost)
      problems.push(`attempt ${attempt} did not fail, and attempt ${newest} ran`);
  }
  if (last) problems.push(...untrue(found, last, judgement.lostReasons));
  return problems;
};

function untrue(found: TaskCase, last: TaskView, lostReasons: readonly string[]): readonly string[] {
  const { plan, markers, cancelled } = found;
  const { state, attempt, exitCode, reason } = last;
  const newest = Math.max(0, ...markers);
  const said = `${state} (${reason}, exit code ${exitCode}) at attempt ${attempt}`;
  if (newest > attempt) return [`it is ${said}, and attempt ${newest} ran`];
  switch (state) {
    case 'SUCCEEDED':
    case 'FAILED': {
      const right = markers.includes(attempt) && exitCode === exitOf(plan, attempt);
      const named = state === (exitCode === 0 ? 'SUCCEEDED' : 'FAILED');
      const retried = state === 'SUCCEEDED' || failedRuns(found, last) === plan.maxAttempts || cancelled;
      if (right && named && retried) return [];
      return [`it is ${said}; what ran: attempts ${markers.join(', ') || 'none'} of ${plan.maxAttempts}`];
    }
    case 'CANCELLED':
      return cancelled ? [] : [`it is ${said}, and nobody asked for that`];
    case 'LOST':
      return lostReasons.includes(reason) ? [] : [`it is ${said}, which this run does not allow`];
    case 'TIMED_OUT':
      return [`it is ${said}, and it has time enough`];
    default:
      return [];
  }
}

/** Attempts that count against the retries: they ran and failed, or were given up. */
function failedRuns({ markers }: TaskCase, { attempts = {} }: TaskView): number {
  const lost = Object.entries(attempts).filter(([, state]) => state === 'LOST');
  return new Set([...markers, ...lost.map(([number]) => Number(number))]).size;
}

function doubled(numbers: readonly number[]): readonly number[] {
  return [...new Set(numbers.filter((number, index) => numbers.indexOf(number) !== index))];
}
