import { AsyncQueue } from '../../src/base/async-queue.js';
import type { Hub } from '../../src/hub/hub.js';
import type { AgentFrame, Assignment, AttemptReport, HubFrame } from '../../src/model/agent-protocol.js';
import { emptyOutcome, isTerminal, type TaskOutcome, type TerminalState } from '../../src/model/task.js';

/** What the world outside sees of an agent: that an attempt was started. */
export type OnStart = (task: string, attempt: number) => void;

/**
 * An agent as the protocol wants it, without processes and disks: it takes a step only when it is told to. What it
 * has started is in its journal before anything else happens, and a journal survives everything but a restore.
 */
export class ModelAgent {
  private journal = new Map<string, AttemptReport>();
  private waiting: Assignment[] = [];
  private sequence = 0;
  private journals = 1;
  private generation = 1;
  private link: { readonly frames: AsyncQueue<AgentFrame>; over: boolean } | undefined;
  private inbox: HubFrame[] = [];

  constructor(
    readonly id: string,
    private readonly onStart: OnStart,
  ) {}

  /** Whether it has something to start or to end. */
  get busy(): boolean {
    return this.waiting.length > 0 || this.running.length > 0;
  }

  get connected(): boolean {
    return this.link?.over === false;
  }

  /** Says Hello with all that it knows; what the hub answers is read by {@link hear}. */
  connect(hub: Hub): void {
    if (this.connected) return;
    const link = { frames: new AsyncQueue<AgentFrame>(), over: false };
    this.link = link;
    this.inbox = [];
    const ids = {
      agentId: this.id,
      incarnation: `${this.id}-${this.journals}`,
      bootId: 'boot',
      version: '1',
    };
    const place = { journalId: `journal-${this.journals}`, journalSequence: this.sequence };
    const waiting = this.waiting.map(({ task, attempt }) => ({
      task,
      attempt,
      state: 'DISPATCHED' as const,
      sequence: 0,
    }));
    const attempts = [...this.journal.values(), ...waiting];
    const more = { vmGeneration: this.generation, protocol: 1, capabilities: [], killScope: 'cgroup' };
    link.frames.push({ type: 'hello', hello: { ...ids, ...place, ...more, attempts } });
    void this.read(hub, link);
  }

  /** The connection breaks. */
  cut(): void {
    if (this.link) this.link.over = true;
    this.link?.frames.end();
    this.link = undefined;
    this.inbox = [];
  }

  /** Takes in what the hub has said so far; at most `limit` frames. */
  hear(limit = Number.POSITIVE_INFINITY): void {
    for (const frame of this.inbox.splice(0, limit)) this.take(frame);
  }

  /** Starts the first attempt that waits. */
  start(): void {
    const next = this.waiting.shift();
    if (!next) return;
    this.record({ ...idOf(next), state: 'RUNNING', startMs: 1 });
    this.onStart(next.task, next.attempt);
  }

  /** Ends the attempt that runs longest. */
  end(exitOf: (task: string, attempt: number) => number): void {
    const [first] = this.running;
    if (!first) return;
    const exitCode = exitOf(first.task, first.attempt);
    const outcome = { ...emptyOutcome('EXITED'), exitCode };
    this.finish(first, exitCode === 0 ? 'SUCCEEDED' : 'FAILED', outcome);
  }

  /** Says again all that it has said. */
  repeat(): void {
    for (const report of this.journal.values()) this.say(report);
  }

  /** The process dies and comes back: what ran is lost and written down as such, what waited is forgotten. */
  crash(): void {
    this.cut();
    this.waiting = [];
    for (const report of this.running) this.finish(report, 'LOST', emptyOutcome('AGENT_CRASHED'));
  }

  /** The machine goes back to the past: a new generation of it knows nothing. */
  restore(generation: number): void {
    this.cut();
    this.generation = generation;
    this.waiting = [];
    this.journal = new Map();
    this.sequence = 0;
    this.journals += 1;
  }

  private get running(): AttemptReport[] {
    return [...this.journal.values()].filter(({ state }) => !isTerminal(state));
  }

  private async read(
    hub: Hub,
    link: { readonly frames: AsyncQueue<AgentFrame>; over: boolean },
  ): Promise<void> {
    try {
      const signal = new AbortController().signal;
      for await (const frame of hub.door.connect(this.id, link.frames, signal)) {
        if (this.link === link) this.inbox.push(frame);
      }
    } catch {
      // The hub ended the session; the agent comes back when it is told to.
    }
    link.over = true;
  }

  private take(frame: HubFrame): void {
    switch (frame.type) {
      case 'welcome':
        this.acked(frame.welcome.ackedSequence);
        for (const report of this.journal.values())
          if (report.sequence > frame.welcome.ackedSequence) this.say(report);
        break;
      case 'ack':
        this.acked(frame.sequence);
        break;
      case 'assignment':
        this.assign(frame.assignment);
        break;
      case 'cancel':
        this.cancel(frame);
        break;
      case 'forget':
        this.journal.delete(keyOf(frame));
        this.waiting = this.waiting.filter((one) => keyOf(one) !== keyOf(frame));
        break;
      default:
        break;
    }
  }

  private assign(assignment: Assignment): void {
    const known = this.journal.get(keyOf(assignment));
    if (known) this.say(known);
    else if (!this.waiting.some((one) => keyOf(one) === keyOf(assignment))) this.waiting.push(assignment);
  }

  private cancel(what: { readonly task: string; readonly attempt: number }): void {
    const known = this.journal.get(keyOf(what));
    const waits = this.waiting.some((one) => keyOf(one) === keyOf(what));
    this.waiting = this.waiting.filter((one) => keyOf(one) !== keyOf(what));
    if (known && isTerminal(known.state)) this.say(known);
    else if (known || waits) this.finish(what, 'CANCELLED', emptyOutcome('CANCELLED'));
  }

  /** The ends that the hub has stored need not be known any more. */
  private acked(sequence: number): void {
    for (const [key, report] of this.journal) {
      if (isTerminal(report.state) && report.sequence <= sequence) this.journal.delete(key);
    }
  }

  private finish(
    what: { readonly task: string; readonly attempt: number },
    state: TerminalState,
    outcome: TaskOutcome,
  ): void {
    this.record({ ...idOf(what), state, endMs: 2, outcome });
  }

  private record(fact: Omit<AttemptReport, 'sequence'>): void {
    this.sequence += 1;
    const report = { ...fact, sequence: this.sequence };
    this.journal.set(keyOf(fact), report);
    this.say(report);
  }

  private say(report: AttemptReport): void {
    if (this.connected) this.link?.frames.push({ type: 'report', report });
  }
}

function idOf({ task, attempt }: { readonly task: string; readonly attempt: number }) {
  return { task, attempt };
}

function keyOf({ task, attempt }: { readonly task: string; readonly attempt: number }): string {
  return `${task}~${attempt}`;
}
