const USUAL_MS = 30_000;
const LONG_MS = 3_600_000;

/** Hub methods that wait for a machine. */
const LONG_METHODS = new Set(['/vmagent.v1.Hub/CreateAgent', '/vmagent.v1.Hub/DeleteAgent']);
const MACHINE_METHODS = '/vmagent.v1.VmManager/';
const CREATE_TASK = '/vmagent.v1.Hub/CreateTask';

/**
 * Longest time in milliseconds of a unary call whose caller set no deadline: an hour for what waits for machines
 * or, asked with `wait`, for a task; else 30 s.
 */
export function timeLimitMs(path: string, request: unknown): number {
  if (LONG_METHODS.has(path) || path.startsWith(MACHINE_METHODS)) return LONG_MS;
  return path === CREATE_TASK && waits(request) ? LONG_MS : USUAL_MS;
}

function waits(request: unknown): boolean {
  return typeof request === 'object' && request !== null && 'wait' in request && request.wait !== undefined;
}
