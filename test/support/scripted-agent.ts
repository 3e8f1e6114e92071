import { AsyncQueue } from '../../src/base/async-queue.js';
import type { Hub } from '../../src/hub/hub.js';
import type {
  AgentFrame,
  Assignment,
  AttemptReport,
  Hello,
  HubFrame,
  OutputFrame,
} from '../../src/model/agent-protocol.js';
import type { OutputProgress } from '../../src/model/output.js';
import { emptyOutcome, type TaskOutcome, type TerminalState } from '../../src/model/task.js';

/** An agent whose every frame the test decides, joined to a hub without a network. */
export class ScriptedAgent {
  generation = 0;
  private readonly frames = new AsyncQueue<AgentFrame>();
  private readonly aborting = new AbortController();
  private readonly stream: AsyncIterator<HubFrame>;
  private readonly early: HubFrame[] = [];
  private sequence = 0;

  constructor(
    private readonly hub: Hub,
    readonly id: string,
  ) {
    this.stream = hub.door.connect(id, this.frames, this.aborting.signal)[Symbol.asyncIterator]();
  }

  /** Registers an agent, connects and says Hello. */
  static async join(hub: Hub, id: string, hello: Partial<Hello> = {}): Promise<ScriptedAgent> {
    await hub.agents.register(id, {});
    return ScriptedAgent.connect(hub, id, hello);
  }

  /** Connects an agent that is registered. */
  static async connect(hub: Hub, id: string, hello: Partial<Hello> = {}): Promise<ScriptedAgent> {
    const agent = new ScriptedAgent(hub, id);
    agent.hello(hello);
    const welcome = await agent.next('welcome');
    agent.generation = welcome.welcome.sessionGeneration;
    return agent;
  }

  hello(more: Partial<Hello> = {}): void {
    const ids = { incarnation: 'i', bootId: 'b', journalId: 'j', version: '1', killScope: 'process_group' };
    const numbers = { vmGeneration: 1, journalSequence: 1000, protocol: 1 };
    const hello = { agentId: this.id, ...ids, ...numbers, capabilities: [], attempts: [], ...more };
    this.frames.push({ type: 'hello', hello });
  }

  /** The next frame of a type; others that come before it are kept. */
  async next<T extends HubFrame['type']>(type: T): Promise<Extract<HubFrame, { type: T }>> {
    const kept = this.early.findIndex((frame) => frame.type === type);
    if (kept >= 0) return this.early.splice(kept, 1)[0] as Extract<HubFrame, { type: T }>;
    for (;;) {
      const next = await this.stream.next();
      if (next.done) throw new Error(`the session ended before a frame ${type}`);
      if (next.value.type === type) return next.value as Extract<HubFrame, { type: T }>;
      this.early.push(next.value);
    }
  }

  /** Reads to the end of the session. @throws what the hub ended it with. */
  async ended(): Promise<void> {
    for (let next = await this.stream.next(); !next.done; next = await this.stream.next()) {}
  }

  async assignment(): Promise<Assignment> {
    return (await this.next('assignment')).assignment;
  }

  send(frame: AgentFrame): void {
    this.frames.push(frame);
  }

  report(
    work: Pick<Assignment, 'task' | 'attempt'>,
    state: AttemptReport['state'],
    more: Partial<AttemptReport> = {},
  ) {
    this.sequence += 1;
    const { task, attempt } = work;
    const report = { task, attempt, state, sequence: this.sequence, ...more };
    this.frames.push({ type: 'report', report });
    return report;
  }

  /** Runs an assignment without output. */
  run(
    work: Assignment,
    state: TerminalState = 'SUCCEEDED',
    outcome: TaskOutcome = { ...emptyOutcome('EXITED'), exitCode: 0 },
  ) {
    this.report(work, 'RUNNING', { startMs: Date.now() });
    return this.report(work, state, { endMs: Date.now(), outcome });
  }

  /** Opens an output stream; answers where to put chunks and what is acknowledged. */
  output(generation = this.generation) {
    const frames = new AsyncQueue<OutputFrame>();
    frames.push({ type: 'open', sessionGeneration: generation });
    const acks = this.hub.door.output(this.id, frames, this.aborting.signal)[Symbol.asyncIterator]();
    const chunk = (
      work: Pick<Assignment, 'task' | 'attempt'>,
      offset: number,
      text: string,
      stream: 'STDOUT' | 'STDERR' = 'STDOUT',
    ) => {
      const { task, attempt } = work;
      const data = Buffer.from(text);
      frames.push({ type: 'chunk', chunk: { task, attempt, stream, offset, timeMs: Date.now(), data } });
    };
    const ack = async (): Promise<readonly OutputProgress[]> => {
      const next = await acks.next();
      return next.done ? [] : next.value;
    };
    return { chunk, ack, close: () => frames.end() };
  }

  /** The connection breaks. */
  async cut(): Promise<void> {
    this.frames.end();
    await this.ended().catch(() => {});
  }
}
