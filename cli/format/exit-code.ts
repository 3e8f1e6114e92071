import { constants } from 'node:os';
import type { Task } from '../../src/client/index.js';

/** Exit codes of ours beside those of the remote command. */
export const EXIT = { timedOut: 124, failed: 125, notExecutable: 126, notFound: 127 } as const;

/** The exit code for a task that has ended: that of its command where there is one. */
export function taskExitCode(task: Task): number {
  const { state, outcome } = task;
  if (state === 'SUCCEEDED') return 0;
  if (state === 'TIMED_OUT') return EXIT.timedOut;
  if (state !== 'FAILED') return EXIT.failed;
  if (outcome?.exitCode !== undefined) return outcome.exitCode === 0 ? EXIT.failed : outcome.exitCode;
  const number = signalNumber(outcome?.signal ?? '');
  if (number !== undefined) return 128 + number;
  if (outcome?.reason === 'SPAWN_ENOENT') return EXIT.notFound;
  return outcome?.reason === 'SPAWN_EACCES' ? EXIT.notExecutable : EXIT.failed;
}

/** One sentence about a task that ended in another way than by its own command; empty for those. */
export function endNote(task: Task): string {
  const { state, outcome } = task;
  const detail = outcome?.message || outcome?.reason || '';
  if (state === 'SUCCEEDED') return '';
  if (state === 'FAILED' && (outcome?.exitCode !== undefined || outcome?.signal)) {
    return outcome.reason === 'EXITED' ? '' : outcome.message;
  }
  const words = state.toLowerCase().replace('_', ' ');
  return detail ? `task ${task.id} ${words}: ${detail}` : `task ${task.id} ${words}`;
}

function signalNumber(name: string): number | undefined {
  return (constants.signals as Readonly<Record<string, number>>)[name];
}
