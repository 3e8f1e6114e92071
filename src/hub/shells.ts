import { randomUUID } from 'node:crypto';
import { untilAborted } from '../base/abort.js';
import { type Deferred, deferred } from '../base/deferred.js';
import { HubError } from '../model/hub-error.js';
import type { AgentSession } from './agent-session.js';
import type { HubContext } from './context.js';
import type { AttachShellFrame, ShellInput, ShellOpen, ShellOutput } from './protocol.js';

/** The agent's side of a shell. */
interface Attached {
  readonly frames: AsyncIterator<AttachShellFrame>;
  readonly signal: AbortSignal;
}

interface Waiting {
  readonly session: AgentSession;
  readonly input: AsyncIterable<ShellInput>;
  readonly attached: Deferred<Attached>;
  /** Resolves when the operator's side is over. */
  readonly over: Deferred<void>;
}

/** Joins the operator's end of a terminal with the agent's. */
export class Shells {
  private readonly waiting = new Map<string, Waiting>();
  /** How many are open, by agent. */
  private readonly counts = new Map<string, number>();

  constructor(private readonly ctx: HubContext) {}

  /** Asks the agent for a shell and answers what it shows. @throws SHELL_FAILED. */
  async open(
    session: AgentSession,
    open: ShellOpen,
    input: AsyncIterable<ShellInput>,
    signal: AbortSignal,
  ): Promise<AsyncIterable<ShellOutput>> {
    const shell = randomUUID();
    const entry = { session, input, attached: deferred<Attached>(), over: deferred() };
    this.waiting.set(shell, entry);
    session.send({ type: 'openShell', shell, open: { ...open, env: session.env } });
    const timeout = AbortSignal.timeout(this.ctx.limits.shellTimeoutMs);
    try {
      const any = AbortSignal.any([signal, timeout, session.signal]);
      const attached = await untilAborted(entry.attached.promise, any);
      return this.outputs(entry, attached, signal);
    } catch (err) {
      entry.over.resolve();
      if (timeout.aborted) throw new HubError('SHELL_FAILED', 'the agent did not open a shell in time');
      throw err;
    } finally {
      this.waiting.delete(shell);
    }
  }

  /** Whether somebody has a shell in this agent. */
  isOpen(agent: string): boolean {
    return this.counts.has(agent);
  }

  /** The agent could not open a shell. */
  refused(session: AgentSession, shell: string, message: string): void {
    const entry = this.waiting.get(shell);
    if (entry?.session !== session) return;
    entry.attached.reject(new HubError('SHELL_FAILED', `the agent opened no shell: ${message}`));
  }

  /** The agent's stream: answers the operator's keystrokes until one side is over. @throws SHELL_NOT_FOUND. */
  async *attach(
    session: AgentSession,
    shell: string,
    frames: AsyncIterator<AttachShellFrame>,
    signal: AbortSignal,
  ): AsyncIterable<ShellInput> {
    const entry = this.waiting.get(shell);
    if (entry?.session !== session) throw new HubError('SHELL_NOT_FOUND', 'nobody asked for this shell');
    entry.attached.resolve({ frames, signal });
    const input = entry.input[Symbol.asyncIterator]();
    const over = entry.over.promise.then(() => ({ done: true, value: undefined }) as const);
    for (;;) {
      const next = await untilAborted(Promise.race([input.next(), over]), signal);
      if (next.done) break;
      yield next.value;
    }
    await untilAborted(entry.over.promise, signal);
  }

  private async *outputs(
    entry: Waiting,
    attached: Attached,
    signal: AbortSignal,
  ): AsyncIterable<ShellOutput> {
    const any = AbortSignal.any([signal, attached.signal, entry.session.signal]);
    using _counted = this.counted(entry.session.agentId);
    try {
      for (;;) {
        const next = await untilAborted(attached.frames.next(), any);
        if (next.done) throw new HubError('SHELL_FAILED', 'the agent closed the shell without an exit code');
        if (next.value.type === 'open') continue;
        yield next.value;
        if (next.value.type === 'exit') return;
      }
    } finally {
      entry.over.resolve();
    }
  }

  private counted(agent: string): Disposable {
    const add = (by: number) => {
      const count = (this.counts.get(agent) ?? 0) + by;
      if (count > 0) this.counts.set(agent, count);
      else this.counts.delete(agent);
    };
    add(1);
    return { [Symbol.dispose]: () => add(-1) };
  }
}
