import type { Rule } from '../check.js';

/** One idempotency key is one task, and what was refused never runs. */
export const identity: Rule = ({ ids, rejected, accepted, markers, plan }) => {
  const problems: string[] = [];
  if (ids.size > 1) problems.push(`its key was answered with ${ids.size} ids: ${[...ids].join(', ')}`);
  if (rejected !== undefined && accepted) problems.push(`it was accepted, and refused as ${rejected}`);
  if (rejected !== undefined && !accepted && markers.length > 0)
    problems.push(`it was refused as ${rejected} and ran ${markers.length} times: ${plan.name}`);
  return problems;
};
