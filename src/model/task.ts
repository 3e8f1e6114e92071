/** States of a task and of an attempt. */
export const TASK_STATES = [
  'QUEUED',
  'DISPATCHED',
  'RUNNING',
  'SUCCEEDED',
  'FAILED',
  'CANCELLED',
  'TIMED_OUT',
  'LOST',
] as const;
export type TaskState = (typeof TASK_STATES)[number];

/** States that never change again. */
export type TerminalState = 'SUCCEEDED' | 'FAILED' | 'CANCELLED' | 'TIMED_OUT' | 'LOST';

/** Whether a task in this state has ended. */
export function isTerminal(state: TaskState): state is TerminalState {
  return state !== 'QUEUED' && state !== 'DISPATCHED' && state !== 'RUNNING';
}

/** Which change of a task its watchers have seen last, such as `1.RUNNING` or `1.RUNNING.cancel`. */
export function taskStage(task: Pick<Task, 'attempt' | 'state' | 'cancelRequested'>): string {
  return `${task.attempt}.${task.state}${task.cancelRequested ? '.cancel' : ''}`;
}

/** Types that run a command line or a program. */
export const COMMAND_TYPES = ['exec', 'build', 'test', 'deploy'] as const;
export type CommandType = (typeof COMMAND_TYPES)[number];

/** All task types, as users write them. */
export const TASK_TYPES = [
  ...COMMAND_TYPES,
  'script',
  'git:clone',
  'git:pull',
  'git:push',
  'file:read',
  'file:write',
] as const;
export type TaskType = (typeof TASK_TYPES)[number];

/** What every kind of task has. */
export interface SpecBase {
  /** Working directory; absent means the agent's home. */
  readonly cwd?: string;
  readonly env: Readonly<Record<string, string>>;
  /** Environment variables whose values are never shown. */
  readonly secrets: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
  readonly sudo: boolean;
}

/** A command line for `/bin/sh -c`, or a program with arguments and no shell. */
export type Run = { readonly command: string } | { readonly argv: readonly string[] };

export interface CommandSpec extends SpecBase {
  readonly type: CommandType;
  readonly run: Run;
}

export interface ScriptSpec extends SpecBase {
  readonly type: 'script';
  readonly script: string;
  readonly args: readonly string[];
}

export interface GitCloneSpec extends SpecBase {
  readonly type: 'git:clone';
  readonly repo: string;
  readonly destination?: string;
  readonly branch?: string;
}

export interface GitPullSpec extends SpecBase {
  readonly type: 'git:pull';
  readonly repoPath?: string;
}

export interface GitPushSpec extends SpecBase {
  readonly type: 'git:push';
  readonly repoPath?: string;
  readonly remote: string;
  readonly branch: string;
}

/** How file content is written as text. */
export type FileEncoding = 'utf8' | 'base64';

export interface FileReadSpec extends SpecBase {
  readonly type: 'file:read';
  readonly filePath: string;
  readonly encoding: FileEncoding;
}

export interface FileWriteSpec extends SpecBase {
  readonly type: 'file:write';
  readonly filePath: string;
  readonly content: string;
  readonly encoding: FileEncoding;
}

/** What a task does. */
export type TaskSpec =
  | CommandSpec
  | ScriptSpec
  | GitCloneSpec
  | GitPullSpec
  | GitPushSpec
  | FileReadSpec
  | FileWriteSpec;

/** The typed answer of file and git tasks. */
export interface TaskResult {
  readonly filePath?: string;
  readonly content?: string;
  readonly encoding?: FileEncoding;
  readonly size?: number;
  readonly repo?: string;
  readonly destination?: string;
  readonly branch?: string;
  readonly commit?: string;
  readonly remote?: string;
}

/** How an attempt ended. */
export interface TaskOutcome {
  /** Absent when a signal ended the process or it never ran. */
  readonly exitCode?: number;
  readonly signal?: string;
  /** UPPER_SNAKE, see the contract. */
  readonly reason: string;
  readonly message?: string;
  readonly stdoutBytes: number;
  readonly stderrBytes: number;
  /** The last text of each stream, at most 8192 bytes. */
  readonly stdoutTail: string;
  readonly stderrTail: string;
  readonly killed: boolean;
  /** Output bytes that are declared lost. */
  readonly lostBytes: number;
  readonly result?: TaskResult;
}

/** An outcome without output. */
export function emptyOutcome(reason: string, message?: string): TaskOutcome {
  const nothing = {
    stdoutBytes: 0,
    stderrBytes: 0,
    stdoutTail: '',
    stderrTail: '',
    killed: false,
    lostBytes: 0,
  };
  return { reason, ...(message === undefined ? {} : { message }), ...nothing };
}

/** One run of a task on one agent. Times are milliseconds since 1970. */
export interface Attempt {
  readonly number: number;
  readonly agent: string;
  readonly state: TaskState;
  readonly dispatchMs: number;
  readonly startMs?: number;
  readonly endMs?: number;
  readonly outcome?: TaskOutcome;
  /** What the agent reported after the attempt was given up as LOST: evidence only. */
  readonly lateOutcome?: TaskOutcome;
}

/** What the lane does when a task fails. */
export type OnFailure = 'CONTINUE' | 'STOP';

/** A task as its caller asked for it, with all defaults filled in. */
export interface NewTask {
  readonly id: string;
  /** Absent for any agent that has `requiredCapabilities`. */
  readonly agent?: string;
  readonly spec: TaskSpec;
  readonly lane: string;
  readonly onFailure: OnFailure;
  readonly after: readonly string[];
  readonly requiredCapabilities: readonly string[];
  readonly priority: number;
  readonly labels: Readonly<Record<string, string>>;
  /** How often it may run in all, from 1. */
  readonly maxAttempts: number;
  /** How long it may wait in the queue. Absent means for ever. */
  readonly ttlMs?: number;
  readonly creator: string;
  readonly idempotencyKey?: string;
  /** SHA-256 of what the caller sent, to tell a repeat from a conflict. */
  readonly digest: string;
  readonly createMs: number;
}

/** A task as the hub has it. */
export interface Task extends NewTask {
  /** Order of acceptance, grows. */
  readonly sequence: number;
  /** True when no agent was named: it goes back to the pool when it is requeued. */
  readonly pooled: boolean;
  readonly state: TaskState;
  /** Number of the current attempt; 0 before the first. An attempt that never started is a number used up. */
  readonly attempt: number;
  /** Attempts that ran and failed, for the retry limit. */
  readonly failedRuns: number;
  readonly dispatchMs?: number;
  readonly startMs?: number;
  readonly endMs?: number;
  readonly outcome?: TaskOutcome;
  readonly lateOutcome?: TaskOutcome;
  readonly cancelRequested: boolean;
  /** An attempt that was given up and may still run: the next one starts only when it is known to be over. */
  readonly fence?: { readonly agent: string; readonly attempt: number };
}

/** Lane of tasks that name none. */
export const DEFAULT_LANE = 'default';
