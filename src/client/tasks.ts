import {
  CancelTaskRequest,
  CreateTaskRequest,
  type CreateTaskResponse,
  type DeepPartial,
  HubService,
  ListTasksRequest,
  type ListTasksResponse,
} from '../../gen/vmagent/v1/hub_service.js';
import type { Task } from '../../gen/vmagent/v1/task.js';
import { HubError } from '../model/hub-error.js';
import { isTerminal, TASK_STATES, type TaskState } from '../model/task.js';
import { resuming } from './resume.js';
import type { CallOptions, Transport } from './transport.js';

/** Options of {@link TasksClient.wait}. */
export interface WaitOptions {
  readonly signal?: AbortSignal;
  /** How long the hub may be away meanwhile, in milliseconds. Default 60000. */
  readonly reconnectMs?: number;
}

const DEFAULT_RECONNECT_MS = 60_000;

/** Tasks of the hub. */
export class TasksClient {
  constructor(private readonly transport: Transport) {}

  /** Hands in a task; with `wait` answers when it has ended or the wait is over. */
  async create(
    request: DeepPartial<CreateTaskRequest>,
    options: CallOptions = {},
  ): Promise<CreateTaskResponse> {
    const waitMs = (request.wait?.seconds ?? 0) * 1000;
    const deadlineMs = options.deadlineMs ?? 30_000 + waitMs;
    return this.transport.unary(HubService.createTask, CreateTaskRequest.fromPartial(request), {
      ...options,
      deadlineMs,
    });
  }

  /** One task with its attempts. @throws TASK_NOT_FOUND. */
  async get(task: string, options: CallOptions = {}): Promise<Task> {
    return present(await this.transport.unary(HubService.getTask, { task }, options));
  }

  /** A page of tasks, newest first. */
  list(request: DeepPartial<ListTasksRequest> = {}, options: CallOptions = {}): Promise<ListTasksResponse> {
    return this.transport.unary(HubService.listTasks, ListTasksRequest.fromPartial(request), options);
  }

  /** Cancels a task; with `force` it is killed at once. A task that has ended stays as it is. */
  async cancel(task: string, options: CallOptions & { readonly force?: boolean } = {}): Promise<Task> {
    const request = CancelTaskRequest.fromPartial({ task, force: options.force ?? false });
    return present(await this.transport.unary(HubService.cancelTask, request, options));
  }

  /** The task now and after each change, to its end. */
  async *watch(task: string, options: CallOptions = {}): AsyncGenerator<Task, void, undefined> {
    for await (const response of this.transport.stream(HubService.watchTask, { task, cursor: '' }, options)) {
      yield present(response);
    }
  }

  /** Resolves with the task once it has ended, also over a restart of the hub. */
  async wait(task: string, options: WaitOptions = {}): Promise<Task> {
    const { signal, reconnectMs: windowMs = DEFAULT_RECONNECT_MS } = options;
    const call = signal ? { signal } : {};
    const states = resuming(this.transport, { ...call, windowMs }, () => this.watchOnce(task, call));
    for await (const { task: state } of states) if (hasEnded(state)) return state;
    throw new HubError('INTERNAL', `the hub ended the watch of task ${task} before the task ended`);
  }

  private async *watchOnce(task: string, options: CallOptions): AsyncGenerator<{ readonly task: Task }> {
    let last: Task | undefined;
    for await (const state of this.watch(task, options)) {
      last = state;
      yield { task: state };
    }
    // A hub that stops may end its streams politely; that must not be taken for the end of the task.
    if (!last || !hasEnded(last)) throw new HubError('HUB_STOPPING', 'the hub ended the watch early');
  }
}

/** Whether a task is in a state that never changes again. */
export function hasEnded(task: Task): boolean {
  const state = TASK_STATES.find((known: TaskState) => known === task.state);
  return state !== undefined && isTerminal(state);
}

function present(response: { readonly task: Task | undefined }): Task {
  if (!response.task) throw new HubError('INTERNAL', 'the hub answered no task');
  return response.task;
}
