import { AsyncQueue } from '../base/async-queue.js';
import type { AgentHealth, AgentRecord, CurrentTask } from '../model/agent.js';
import { HubError } from '../model/hub-error.js';
import type { Task, TaskSpec } from '../model/task.js';
import type { HubContext } from './context.js';
import type { Hello, HubFrame } from './protocol.js';

/** A task that this agent has in hand. */
interface Held {
  readonly task: Task;
  startedMs: number | undefined;
}

/** Characters of a task's text in lists. */
const SUMMARY_LENGTH = 200;

/**
 * One connection of one agent, from Welcome to its end. It is made for one stream and never used again; what
 * lasts longer is in the store.
 */
export class AgentSession {
  readonly agentId: string;
  readonly generation: number;
  readonly capabilities: readonly string[];
  readonly concurrency: number;
  /** Environment of every task and shell, beside their own. */
  readonly env: Readonly<Record<string, string>>;
  readonly connectMs: number;
  /** Frames for the agent. */
  readonly frames: AsyncQueue<HubFrame>;
  health: AgentHealth | undefined;
  lastSeenMs: number;
  received = 0;
  sent = 0;
  /** Why the session is over; undefined while it is open. */
  end: { readonly reason: string; readonly error?: HubError } | undefined;
  private readonly held = new Map<string, Held>();
  private readonly closing = new AbortController();

  constructor(
    private readonly ctx: HubContext,
    record: AgentRecord,
    readonly hello: Hello,
  ) {
    this.agentId = record.id;
    this.generation = record.sessionGeneration;
    this.capabilities = record.capabilities;
    this.concurrency = record.concurrency;
    this.env = record.env ?? {};
    this.connectMs = ctx.clock.now();
    this.lastSeenMs = this.connectMs;
    this.frames = new AsyncQueue(ctx.limits.framesPerSession);
  }

  get closed(): boolean {
    return this.end !== undefined;
  }

  /** Aborts when the session is over. */
  get signal(): AbortSignal {
    return this.closing.signal;
  }

  /** How many tasks it has in hand. */
  get inHand(): number {
    return this.held.size;
  }

  hasCapabilities(asked: readonly string[]): boolean {
    return asked.every((capability) => this.capabilities.includes(capability));
  }

  holdsLane(lane: string): boolean {
    return [...this.held.values()].some((held) => held.task.lane === lane);
  }

  /** The attempt of a task that it has in hand. */
  heldAttempt(task: string): number | undefined {
    return this.held.get(task)?.task.attempt;
  }

  currentTasks(limit: number): CurrentTask[] {
    return [...this.held.values()].slice(0, limit).map(({ task, startedMs }) => ({
      id: task.id,
      type: task.spec.type,
      summary: summaryOf(task.spec),
      ...(startedMs === undefined ? {} : { startedMs }),
    }));
  }

  /** It has this task in hand, as the store says. */
  hold(task: Task): void {
    this.held.set(task.id, { task, startedMs: task.state === 'RUNNING' ? task.startMs : undefined });
  }

  /** Tasks in hand whose cancel it may not have heard of. */
  cancelsDue(): Task[] {
    return [...this.held.values()].filter(({ task }) => task.cancelRequested).map(({ task }) => task);
  }

  started(task: string, atMs: number): void {
    const held = this.held.get(task);
    if (held) held.startedMs = atMs;
  }

  release(task: string): void {
    this.held.delete(task);
  }

  /** Hands it a task whose claim is committed. */
  assign(task: Task): void {
    this.hold(task);
    const { id, attempt, lane, spec, onFailure } = task;
    const stopLaneOnFailure = onFailure === 'STOP';
    const assignment = { task: id, attempt, lane, spec, stopLaneOnFailure, env: this.env };
    this.send({ type: 'assignment', assignment });
  }

  cancel(task: Task, force: boolean): void {
    this.send({ type: 'cancel', task: task.id, attempt: task.attempt, force });
  }

  /** Sends a frame; an agent that does not read for long loses its session. */
  send(frame: HubFrame): void {
    if (this.closed) return;
    if (!this.frames.push(frame)) {
      this.close('SLOW_CONSUMER', new HubError('SLOW_CONSUMER', 'the agent does not read its frames'));
      return;
    }
    this.sent += 1;
    this.ctx.metrics.frameSent(frame.type);
  }

  /** Ends the session: with an error the stream fails, without one it ends after what waits was sent. */
  close(reason: string, error?: HubError): void {
    if (this.closed) return;
    this.end = { reason, ...(error ? { error } : {}) };
    if (error) this.frames.fail(error);
    else this.frames.end();
    this.closing.abort(error ?? new HubError('FENCED', `the session is over: ${reason}`));
  }
}

/** What a task runs, in few characters. */
export function summaryOf(spec: TaskSpec): string {
  return textOf(spec).slice(0, SUMMARY_LENGTH);
}

function textOf(spec: TaskSpec): string {
  switch (spec.type) {
    case 'script':
      return spec.script;
    case 'git:clone':
      return spec.destination ?? 'clone';
    case 'git:pull':
    case 'git:push':
      return spec.repoPath ?? '.';
    case 'file:read':
    case 'file:write':
      return spec.filePath;
    default:
      return 'command' in spec.run ? spec.run.command : spec.run.argv.join(' ');
  }
}
