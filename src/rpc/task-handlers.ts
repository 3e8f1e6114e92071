import type { HubService } from '../../gen/vmagent/v1/hub_service.js';
import { Task as ProtoTask } from '../../gen/vmagent/v1/task.js';
import { mapAsync } from '../base/map-async.js';
import type { HubApi, TasksApi } from '../hub/api.js';
import type { TaskFilter } from '../hub/store.js';
import { checkId } from '../model/names.js';
import { TASK_STATES, TASK_TYPES, type Task, taskStage } from '../model/task.js';
import type { Caller } from '../security/caller.js';
import { taskRequestFromProto } from '../wire/create-task.js';
import { decodeNumberToken, encodePageToken, pageSize } from '../wire/pages.js';
import { taskToProto } from '../wire/task.js';
import { check } from '../wire/violations.js';
import { type CallContext, firstText, type Handlers } from './call-context.js';
import { PageFiller } from './pages.js';

type TaskMethods = 'createTask' | 'listTasks' | 'getTask' | 'cancelTask' | 'watchTask';

/** Tasks are read from the store in pieces, so that large ones do not come into memory all at once. */
const READ_SIZE = 50;
const MAX_PAGE = 500;

/** Hub methods about tasks. */
export function taskHandlers(hub: HubApi): Pick<Handlers<typeof HubService, Caller>, TaskMethods> {
  const { tasks } = hub;
  return {
    async createTask(ctx, req) {
      const idempotencyKey = firstText(ctx.metadata, 'idempotency-key');
      const { request, waitMs } = taskRequestFromProto(req, {
        creator: ctx.caller.name,
        ...(idempotencyKey === undefined ? {} : { idempotencyKey }),
      });
      const created = await tasks.create(request);
      const task = waitMs === 0 ? created : await waited(tasks, created, { waitMs, ctx });
      return { taskId: task.id, status: 'sent', task: await full(tasks, task) };
    },
    async listTasks(_ctx, req) {
      const size = pageSize(req.pageSize, 50, MAX_PAGE);
      const before = decodeNumberToken(req.pageToken);
      return listPage(tasks, filterFromProto(req), { size, before });
    },
    async getTask(_ctx, req) {
      const { task, attempts } = await tasks.get(checkId('task', req.task));
      return { task: taskToProto(task, { attempts, stateReason: stateReason(tasks, task) }) };
    },
    async cancelTask(_ctx, req) {
      return { task: await full(tasks, await tasks.cancel(checkId('task', req.task), req.force)) };
    },
    watchTask(ctx, req) {
      const changes = tasks.watch(checkId('task', req.task), ctx.signal, checkStage(req.cursor));
      return mapAsync(changes, (task) => ({
        task: taskToProto(task, { stateReason: stateReason(tasks, task) }),
        cursor: taskStage(task),
      }));
    },
  };
}

/** The task when it has ended; as it was accepted when the hub stops meanwhile, since it is stored. */
async function waited(
  tasks: TasksApi,
  created: Task,
  { waitMs, ctx }: { readonly waitMs: number; readonly ctx: CallContext<Caller> },
): Promise<Task> {
  try {
    return await tasks.wait(created.id, waitMs, ctx.signal);
  } catch (err) {
    if (ctx.signal.aborted) return created;
    throw err;
  }
}

async function full(tasks: TasksApi, task: Task): Promise<ProtoTask> {
  const attempts = task.attempt === 0 ? [] : (await tasks.get(task.id)).attempts;
  return taskToProto(task, { attempts, stateReason: stateReason(tasks, task) });
}

function checkStage(cursor: string): string {
  check((found) => {
    if (!/^(\d{1,9}\.[A-Z_]{1,20}(\.cancel)?)?$/.test(cursor))
      found.add('cursor', 'the cursor of an answer before, unchanged');
  });
  return cursor;
}

function stateReason(tasks: TasksApi, task: Task): string {
  return task.state === 'QUEUED' ? tasks.queuedReason(task) : '';
}

async function listPage(
  tasks: TasksApi,
  filter: TaskFilter,
  page: { readonly size: number; readonly before: number | undefined },
) {
  const filler = new PageFiller(ProtoTask);
  let last = page.before;
  for (;;) {
    const size = Math.min(READ_SIZE, page.size - filler.items.length);
    const found = await tasks.list(filter, {
      size: size + 1,
      ...(last === undefined ? {} : { before: last }),
    });
    for (const task of found.slice(0, size)) {
      const fits = filler.add(taskToProto(task, { stateReason: stateReason(tasks, task) }));
      if (!fits) return { tasks: filler.items, nextPageToken: encodePageToken(String(last)) };
      last = task.sequence;
    }
    const more = found.length > size;
    if (!more) return { tasks: filler.items, nextPageToken: '' };
    if (filler.items.length >= page.size)
      return { tasks: filler.items, nextPageToken: encodePageToken(String(last)) };
  }
}

function filterFromProto(req: { agent: string; states: readonly string[]; type: string }): TaskFilter {
  const states = TASK_STATES.filter((state) => req.states.includes(state));
  check((found) => {
    if (req.agent !== '') found.name('agent', req.agent);
    if (req.type !== '') found.oneOf('type', req.type, TASK_TYPES);
    for (const state of req.states) found.oneOf('states', state, TASK_STATES);
  });
  return {
    ...(req.agent === '' ? {} : { agent: req.agent }),
    ...(states.length === 0 ? {} : { states }),
    ...(req.type === '' ? {} : { type: req.type }),
  };
}
