import type { LogLevel } from '../base/logger.js';
import type { AgentView, Json } from '../model/agent.js';
import type { HubEvent } from '../model/event.js';
import type { OutputProgress, OutputRecord } from '../model/output.js';
import type { Attempt, NewTask, Task } from '../model/task.js';
import type { LifePolicy, Vm, VmNetwork } from '../model/vm.js';
import type {
  AgentFrame,
  AttachShellFrame,
  HubFrame,
  OutputFrame,
  ShellInput,
  ShellOpen,
  ShellOutput,
} from './protocol.js';
import type { TaskFilter } from './store.js';

/** What the gRPC servers call. All inputs are checked for form before they come here. */
export interface HubApi {
  readonly tasks: TasksApi;
  readonly agents: AgentsApi;
  readonly logs: LogsApi;
  readonly events: EventsApi;
  readonly admin: AdminApi;
  /** The agent door. */
  readonly door: DoorApi;
}

/** A task request: the parts of NewTask that a caller decides. */
export type TaskRequest = Omit<NewTask, 'id' | 'digest' | 'createMs'> & { readonly id?: string };

export interface TasksApi {
  create(request: TaskRequest): Promise<Task>;
  /** Resolves when the task has ended, or after `waitMs` with the task as it is. */
  wait(id: string, waitMs: number, signal: AbortSignal): Promise<Task>;
  /** @throws TASK_NOT_FOUND. */
  get(id: string): Promise<{ readonly task: Task; readonly attempts: readonly Attempt[] }>;
  /** Why a QUEUED task waits: AGENT_OFFLINE, NO_CAPABLE_AGENT, LANE_BUSY, WAITING_FOR_TASKS, or empty. */
  queuedReason(task: Task): string;
  list(
    filter: TaskFilter,
    page: { readonly size: number; readonly before?: number },
  ): Promise<readonly Task[]>;
  /** @throws TASK_NOT_FOUND. */
  cancel(id: string, force: boolean): Promise<Task>;
  /** The task now and after each change, to its end. @throws TASK_NOT_FOUND, SLOW_CONSUMER. */
  watch(id: string, signal: AbortSignal, after?: string): AsyncIterable<Task>;
}

export interface AgentRequest {
  readonly name: string;
  readonly type: string;
  readonly capabilities: readonly string[];
  readonly metadata: { readonly [key: string]: Json };
  readonly concurrency: number;
  readonly cpu?: number;
  readonly memory?: string;
  readonly disk?: string;
  readonly provider?: string;
  readonly image?: string;
  readonly network?: VmNetwork;
  readonly profile?: string;
  /** When its machine is ended by itself. Absent for never. */
  readonly life?: LifePolicy;
  readonly allowHostSudo: boolean;
  readonly timeoutMs: number;
}

export interface AgentsApi {
  /** By name. */
  list(filter: AgentFilter): Promise<readonly AgentView[]>;
  /** @throws AGENT_NOT_FOUND. */
  get(id: string): Promise<AgentView>;
  /** Whether the agent exists and has a machine, for authorisation. */
  hasVm(id: string): Promise<boolean>;
  create(request: AgentRequest, signal: AbortSignal): Promise<{ readonly agent: AgentView; readonly vm: Vm }>;
  register(
    id: string,
    metadata: { readonly [key: string]: Json },
  ): Promise<{ readonly agent: AgentView; readonly token: string; readonly door: string }>;
  remove(id: string, force: boolean, signal: AbortSignal): Promise<void>;
  /** Opens a terminal. The iteration ends with `exit`; it throws when the agent goes away. */
  shell(
    id: string,
    open: ShellOpen,
    input: AsyncIterable<ShellInput>,
    signal: AbortSignal,
  ): Promise<AsyncIterable<ShellOutput>>;
}

export interface AgentFilter {
  readonly status?: 'online' | 'offline';
  readonly type?: string;
  readonly capability?: string;
  readonly after?: string;
  readonly limit: number;
}

export interface LogQuery {
  readonly scope: { readonly task: string } | { readonly agent: string };
  readonly follow: boolean;
  readonly lines?: number;
  /** Cursor of the last entry that was seen. */
  readonly cursor?: string;
  readonly sinceMs?: number;
  readonly format: 'LINES' | 'BYTES';
  readonly streams: readonly ('STDOUT' | 'STDERR' | 'GAP')[];
}

/** A line (`text`), or bytes (`data`), or a gap (`gapBytes` > 0). */
export interface LogEntry extends Omit<OutputRecord, 'data' | 'cursor'> {
  /** Goes on behind this entry, exactly. */
  readonly cursor: string;
  readonly text?: string;
  readonly data?: Uint8Array;
  readonly partial: boolean;
}

export interface LogsApi {
  /** The cursor at which a stream of this query starts. @throws TASK_NOT_FOUND, AGENT_NOT_FOUND. */
  start(query: LogQuery): Promise<string>;
  /** @throws TASK_NOT_FOUND, AGENT_NOT_FOUND, LOG_EXPIRED. */
  stream(query: LogQuery, signal: AbortSignal): AsyncIterable<LogEntry>;
}

export interface EventQuery {
  readonly after?: number;
  readonly agent?: string;
  readonly task?: string;
  readonly types: readonly string[];
}

export interface EventsApi {
  /** Position of the newest event. */
  last(): Promise<number>;
  /** @throws CURSOR_EXPIRED, SLOW_CONSUMER. */
  watch(query: EventQuery, signal: AbortSignal): AsyncIterable<HubEvent>;
}

export interface HealthReport {
  readonly healthy: boolean;
  readonly uptimeSeconds: number;
  readonly timestampMs: number;
  readonly agents: { readonly total: number; readonly online: number };
  readonly checks: readonly { readonly name: string; readonly ok: boolean; readonly message: string }[];
  readonly version: string;
}

export interface StatsReport {
  readonly historySize: number;
  readonly deadLetters: number;
  readonly totalAgents: number;
  readonly onlineAgents: number;
  readonly queuedTasks: number;
  readonly activeTasks: number;
  readonly agents: readonly AgentView[];
}

export interface AdminApi {
  health(): Promise<HealthReport>;
  stats(): Promise<StatsReport>;
  deadLetters(): Promise<readonly Task[]>;
  clearDeadLetters(): Promise<void>;
  setLogLevel(level: LogLevel): void;
  /** Prometheus text, and its content type. */
  metrics(): Promise<{ readonly contentType: string; readonly text: string }>;
}

export interface DoorApi {
  /** @throws NOT_AUTHENTICATED, with one text for every cause. */
  authenticate(agentId: string, secret: string): Promise<void>;
  /** One session. Ends when the agent closes, is superseded (FENCED) or the hub stops. */
  connect(agentId: string, frames: AsyncIterable<AgentFrame>, signal: AbortSignal): AsyncIterable<HubFrame>;
  output(
    agentId: string,
    frames: AsyncIterable<OutputFrame>,
    signal: AbortSignal,
  ): AsyncIterable<readonly OutputProgress[]>;
  attachShell(
    agentId: string,
    frames: AsyncIterable<AttachShellFrame>,
    signal: AbortSignal,
  ): AsyncIterable<ShellInput>;
}
