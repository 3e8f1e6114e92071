import type { Rule } from '../check.js';

/** Ends that are stored before the machine is stopped, so that nothing of its old life is believed. */
const FENCED_FIRST = ['RESTORED', 'VM_STOPPED', 'AGENT_DESTROYED', 'AGENT_UNREACHABLE'];

/** Once a task is known to have ended, none of its processes is alive. */
export const aliveAfterEnd: Rule = ({ endedAt, alive, last }) => {
  const atLast = alive.filter(({ what }) => what.last);
  const fenced = FENCED_FIRST.includes(last?.reason ?? '');
  const after = fenced || endedAt === undefined ? atLast : alive.filter(({ at }) => at > endedAt);
  const pids = [...new Set(after.map(({ what }) => what.pid))];
  return pids.map((pid) => `process ${pid} of it was alive after its end (${last?.state} ${last?.reason})`);
};
