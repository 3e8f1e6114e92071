import {
  type Attempt as ProtoAttempt,
  type Task as ProtoTask,
  Task_OnFailure,
  Task_State,
} from '../../gen/vmagent/v1/task.js';
import { type Attempt, TASK_STATES, type Task, type TaskState } from '../model/task.js';
import { outcomeToProto } from './outcome.js';
import { taskSpecToProto } from './task-spec.js';
import { durationFromMs, optionalTimestamp, timestampFromMs } from './time.js';

export { outcomeFromProto, outcomeToProto } from './outcome.js';
export { DEFAULT_TIMEOUT_MS, taskSpecFromProto, taskSpecToProto } from './task-spec.js';

/** A state as the enum of the contract. */
export function taskStateToProto(state: TaskState): Task_State {
  return Task_State[state];
}

/** A state from the enum of the contract; undefined for one that is not set or not known. */
export function taskStateFromProto(state: Task_State): TaskState | undefined {
  return TASK_STATES.find((known) => known === state);
}

/** What of a task is not in the task itself. */
export interface TaskToProtoOptions {
  /** All attempts, oldest first; only in answers about one task. */
  readonly attempts?: readonly Attempt[];
  /** Why a QUEUED task waits. */
  readonly stateReason?: string;
}

/** A task as callers see it: the values of its secrets are left out. */
export function taskToProto(task: Task, options: TaskToProtoOptions = {}): ProtoTask {
  return {
    id: task.id,
    agent: task.agent ?? '',
    spec: taskSpecToProto(task.spec, { redactSecrets: true }),
    state: taskStateToProto(task.state),
    stateReason: options.stateReason ?? '',
    lane: task.lane,
    onFailure: Task_OnFailure[task.onFailure],
    after: [...task.after],
    requiredCapabilities: [...task.requiredCapabilities],
    priority: task.priority,
    labels: { ...task.labels },
    retry: task.maxAttempts > 1 ? { maxAttempts: task.maxAttempts } : undefined,
    ttl: durationFromMs(task.ttlMs),
    creator: task.creator,
    attempt: task.attempt,
    attempts: (options.attempts ?? []).map(attemptToProto),
    createTime: timestampFromMs(task.createMs),
    dispatchTime: optionalTimestamp(task.dispatchMs),
    startTime: optionalTimestamp(task.startMs),
    endTime: optionalTimestamp(task.endMs),
    outcome: task.outcome === undefined ? undefined : outcomeToProto(task.outcome),
    cancelRequested: task.cancelRequested,
  };
}

function attemptToProto(attempt: Attempt): ProtoAttempt {
  return {
    number: attempt.number,
    agent: attempt.agent,
    state: taskStateToProto(attempt.state),
    dispatchTime: timestampFromMs(attempt.dispatchMs),
    startTime: optionalTimestamp(attempt.startMs),
    endTime: optionalTimestamp(attempt.endMs),
    outcome: attempt.outcome === undefined ? undefined : outcomeToProto(attempt.outcome),
    lateOutcome: attempt.lateOutcome === undefined ? undefined : outcomeToProto(attempt.lateOutcome),
  };
}
