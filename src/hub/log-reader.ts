import { Bell } from '../base/bell.js';
import { HubError } from '../model/hub-error.js';
import { isTerminal } from '../model/task.js';
import type { LogEntry, LogQuery, LogsApi } from './api.js';
import type { HubContext } from './context.js';
import { type LogCursor, parseCursor } from './log-cursor.js';
import { byteEntry, lineEntries } from './log-entries.js';
import type { OutputScope } from './output-log.js';
import type { TaskWatchers } from './task-watchers.js';

/** Output read at once. */
const PAGE_BYTES = 512 * 1024;
/** Lines of an agent that are answered when nobody says how many. */
const DEFAULT_AGENT_LINES = 100;

/** Answers stored output and follows it. Followers are woken and read the log themselves: nothing queues. */
export class LogReader implements LogsApi {
  constructor(
    private readonly ctx: HubContext,
    private readonly watchers: TaskWatchers,
  ) {}

  async start(query: LogQuery): Promise<string> {
    await this.checkScope(query.scope);
    if (query.cursor !== undefined) return query.cursor;
    const lines = linesOf(query);
    if (lines === undefined) return '0';
    const { output } = this.ctx;
    return String(lines === 0 ? output.end() : await output.cursorForLast(query.scope, lines));
  }

  async *stream(query: LogQuery, signal: AbortSignal): AsyncIterable<LogEntry> {
    await this.checkScope(query.scope);
    const bell = new Bell(signal);
    using _output = this.ctx.output.listen(() => bell.ring());
    using _task =
      'task' in query.scope ? this.watchers.listen(query.scope.task, () => bell.ring()) : undefined;
    let position = yield* this.beginning(query, signal);
    while (query.follow) {
      bell.reset();
      const over = await this.isOver(query.scope);
      position = yield* this.toEnd(query, position, signal);
      if (over) return;
      await bell.wait();
    }
  }

  /** What is stored already, or its last lines. Answers where it ended. */
  private async *beginning(query: LogQuery, signal: AbortSignal): AsyncGenerator<LogEntry, LogCursor> {
    if (query.cursor !== undefined) return yield* this.toEnd(query, parseCursor(query.cursor), signal);
    const lines = linesOf(query);
    if (lines === undefined) return yield* this.toEnd(query, { after: 0, skip: 0 }, signal);
    if (lines === 0) return { after: this.ctx.output.end(), skip: 0 };
    return yield* this.lastLines(query, lines, signal);
  }

  private async *lastLines(
    query: LogQuery,
    lines: number,
    signal: AbortSignal,
  ): AsyncGenerator<LogEntry, LogCursor> {
    const after = await this.ctx.output.cursorForLast(query.scope, lines);
    const last: LogEntry[] = [];
    const reading = this.toEnd(query, { after, skip: 0 }, signal);
    let next = await reading.next();
    for (; !next.done; next = await reading.next()) {
      last.push(next.value);
      if (last.length > 2 * lines) last.splice(0, last.length - lines);
    }
    yield* last.slice(-lines);
    return next.value;
  }

  private async *toEnd(
    query: LogQuery,
    from: LogCursor,
    signal: AbortSignal,
  ): AsyncGenerator<LogEntry, LogCursor> {
    let { after, skip } = from;
    for (;;) {
      signal.throwIfAborted();
      const page = await this.ctx.output.read({ scope: query.scope, after, maxBytes: PAGE_BYTES });
      for (const record of page.records) {
        const entries = query.format === 'BYTES' ? [byteEntry(record)] : lineEntries(record, after);
        for (const entry of entries) {
          if (skip > 0) skip -= 1;
          else if (wanted(query, entry)) yield entry;
        }
        after = record.cursor;
        skip = 0;
      }
      after = Math.max(after, page.next);
      if (page.atEnd) return { after, skip };
    }
  }

  private async checkScope(scope: OutputScope): Promise<void> {
    if ('task' in scope) {
      if (await this.ctx.store.tasks.get(scope.task)) return;
      throw new HubError('TASK_NOT_FOUND', `there is no task ${scope.task}`, {
        metadata: { task: scope.task },
      });
    }
    if (await this.ctx.store.agents.get(scope.agent)) return;
    throw new HubError('AGENT_NOT_FOUND', `there is no agent ${scope.agent}`, {
      metadata: { agent: scope.agent },
    });
  }

  /** Whether nothing more can come. All output of a task is stored before the task ends. */
  private async isOver(scope: OutputScope): Promise<boolean> {
    if (!('task' in scope)) return false;
    const task = await this.ctx.store.tasks.get(scope.task);
    return task === undefined || isTerminal(task.state);
  }
}

function linesOf({ lines, scope }: LogQuery): number | undefined {
  return lines ?? ('agent' in scope ? DEFAULT_AGENT_LINES : undefined);
}

function wanted(query: LogQuery, entry: LogEntry): boolean {
  if (query.sinceMs !== undefined && entry.timeMs < query.sinceMs) return false;
  if (query.streams.length === 0) return true;
  return query.streams.includes(entry.gapBytes > 0 ? 'GAP' : entry.stream);
}
