import { assertNever } from './assert-never.js';
import { isTerminal, type Task, type TaskOutcome, type TerminalState } from './task.js';

/** Something that happens to a task. Times are milliseconds since 1970. */
export type TaskEvent =
  /** The hub hands it to an agent: a new attempt. */
  | { readonly type: 'dispatch'; readonly agent: string; readonly atMs: number }
  /** The agent proved that it did not start this attempt. */
  | { readonly type: 'requeue'; readonly attempt: number }
  /** Its process started. */
  | { readonly type: 'started'; readonly attempt: number; readonly startMs: number }
  /** The agent reported its end. */
  | {
      readonly type: 'ended';
      readonly attempt: number;
      readonly state: TerminalState;
      readonly startMs?: number;
      readonly endMs: number;
      readonly outcome: TaskOutcome;
    }
  /** A caller wants it to end. */
  | { readonly type: 'cancel'; readonly atMs: number; readonly outcome: TaskOutcome }
  /** It can never run: a dependency, its lane or its agent failed, or it waited too long. */
  | { readonly type: 'drop'; readonly atMs: number; readonly outcome: TaskOutcome }
  /** The attempt is given up. `fenced` says that nothing of it can run any more. */
  | {
      readonly type: 'lose';
      readonly attempt: number;
      readonly fenced: boolean;
      readonly atMs: number;
      readonly outcome: TaskOutcome;
    }
  /** Nothing of an attempt that was given up runs any more. */
  | { readonly type: 'fenced'; readonly attempt: number };

/**
 * The only place where a task changes its state: answers the task after the event, or the same object when the
 * event changes nothing. A late or repeated event (older attempt, terminal task) changes nothing, except that
 * what an agent reports of an attempt that was given up is kept as evidence.
 *
 *     QUEUED -dispatch-> DISPATCHED -started-> RUNNING -ended-> SUCCEEDED | FAILED | CANCELLED | TIMED_OUT
 *     DISPATCHED -requeue-> QUEUED      DISPATCHED -ended-> ...      DISPATCHED, RUNNING -lose-> LOST
 *     QUEUED -cancel, drop-> CANCELLED  RUNNING -ended, attempts left-> QUEUED
 *     DISPATCHED, RUNNING -lose, attempts left-> QUEUED behind a fence -fenced-> QUEUED
 */
export function applyTaskEvent(task: Task, event: TaskEvent): Task {
  if (isTerminal(task.state)) return event.type === 'ended' ? withEvidence(task, event) : task;
  switch (event.type) {
    case 'dispatch':
      return task.state === 'QUEUED' && !task.fence ? dispatched(task, event.agent, event.atMs) : task;
    case 'requeue':
      return task.state === 'DISPATCHED' && task.attempt === event.attempt ? requeued(task) : task;
    case 'started':
      if (task.state !== 'DISPATCHED' || task.attempt !== event.attempt) return task;
      return { ...task, state: 'RUNNING', startMs: task.startMs ?? event.startMs };
    case 'ended':
      return ended(task, event);
    case 'cancel':
      return task.state === 'QUEUED' ? over(task, 'CANCELLED', event.atMs, event.outcome) : cancelling(task);
    case 'drop':
      return task.state === 'QUEUED' ? over(task, 'CANCELLED', event.atMs, event.outcome) : task;
    case 'lose':
      if (task.state === 'QUEUED' || task.attempt !== event.attempt) return task;
      return lost(task, event);
    case 'fenced':
      return task.fence?.attempt === event.attempt ? unfenced(task) : task;
    default:
      return assertNever(event);
  }
}

function dispatched(task: Task, agent: string, atMs: number): Task {
  const attempt = task.attempt + 1;
  return { ...task, state: 'DISPATCHED', agent, attempt, dispatchMs: task.dispatchMs ?? atMs };
}

/** The attempt number is used up, so that a late frame of it can be told from the next one. */
function requeued(task: Task): Task {
  if (!task.pooled) return { ...task, state: 'QUEUED' };
  const { agent: _, ...rest } = task;
  return { ...rest, state: 'QUEUED' };
}

function cancelling(task: Task): Task {
  return task.cancelRequested ? task : { ...task, cancelRequested: true };
}

function ended(task: Task, event: Extract<TaskEvent, { type: 'ended' }>): Task {
  if (task.state === 'QUEUED') return task.fence?.attempt === event.attempt ? confirmed(task, event) : task;
  if (task.attempt !== event.attempt) return task;
  const startMs = task.startMs ?? event.startMs;
  const started = startMs === undefined ? task : { ...task, startMs };
  if (mayRetry(task, event.state)) return requeued({ ...started, failedRuns: task.failedRuns + 1 });
  return over(started, event.state, event.endMs, event.outcome);
}

function lost(task: Task, event: Extract<TaskEvent, { type: 'lose' }>): Task {
  if (!mayRetry(task, 'LOST')) return over(task, 'LOST', event.atMs, event.outcome);
  const { attempt, agent = '' } = task;
  const again = requeued({ ...task, failedRuns: task.failedRuns + 1 });
  return event.fenced ? again : { ...again, fence: { agent, attempt } };
}

function unfenced(task: Task): Task {
  const { fence: _, ...rest } = task;
  return rest;
}

/** The agent says how a fenced attempt ended. A result that is known wins over LOST: it need not run again. */
function confirmed(task: Task, event: Extract<TaskEvent, { type: 'ended' }>): Task {
  if (event.state !== 'SUCCEEDED') return unfenced(task);
  return over({ ...unfenced(task), agent: task.fence?.agent ?? '' }, 'SUCCEEDED', event.endMs, event.outcome);
}

/** A terminal state stays; what comes late is kept beside it, once. */
function withEvidence(task: Task, event: Extract<TaskEvent, { type: 'ended' }>): Task {
  if (task.state !== 'LOST' || task.attempt !== event.attempt || task.lateOutcome) return task;
  return { ...task, lateOutcome: event.outcome };
}

function mayRetry(task: Task, state: TerminalState): boolean {
  const failed = state === 'FAILED' || state === 'TIMED_OUT' || state === 'LOST';
  return failed && !task.cancelRequested && task.failedRuns + 1 < task.maxAttempts;
}

/** Clocks may be set back meanwhile; no time that is shown is negative. */
function over(task: Task, state: TerminalState, endMs: number, outcome: TaskOutcome): Task {
  return { ...unfenced(task), state, endMs: Math.max(endMs, task.createMs, task.startMs ?? 0), outcome };
}
