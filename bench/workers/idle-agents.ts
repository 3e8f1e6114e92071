import { type ClientDuplexStream, credentials, Metadata } from '@grpc/grpc-js';
import { AgentHealth } from '../../gen/vmagent/v1/agent.js';
import {
  AgentClient,
  type ConnectRequest,
  type ConnectResponse,
  Hello,
} from '../../gen/vmagent/v1/agent_service.js';
import { TaskOutcome } from '../../gen/vmagent/v1/task.js';
import type { Registered } from '../support/hub.js';
import { serve } from '../support/worker.js';

type Stream = ClientDuplexStream<ConnectRequest, ConnectResponse>;

const OUTCOME = TaskOutcome.fromPartial({ exitCode: 0, reason: 'EXITED' });
const HEALTH = AgentHealth.fromPartial({
  cpu: 3.5,
  memory: { used: 2e9, total: 8e9 },
  disk: { used: 2e10, total: 8e10 },
  uptime: 100,
  loadAverage: [0.1, 0.2, 0.3],
  platform: 'linux',
  arch: 'x64',
  hostname: 'bench',
  killScope: 'process_group',
});

const now = () => {
  const ms = Date.now();
  return { seconds: Math.floor(ms / 1000), nanos: (ms % 1000) * 1e6 };
};

/** An agent of the real protocol that does nothing: every task has run and succeeded as soon as it comes. */
class IdleAgent {
  private readonly stream: Stream;
  private sequence = 0;
  private acked = 0;
  private waiting: { readonly position: number; readonly done: () => void } | undefined;
  readonly ready: Promise<void>;

  constructor({ agentId, token, door }: Registered, incarnation: string) {
    const client = new AgentClient(door, credentials.createInsecure(), {
      'grpc.enable_retries': 0,
      'grpc.use_local_subchannel_pool': 1,
    });
    const metadata = new Metadata();
    metadata.set('x-agent-id', agentId);
    metadata.set('authorization', `Bearer ${token}`);
    this.stream = client.connect(metadata);
    this.ready = new Promise((resolve, reject) => {
      this.stream.on('data', (frame: ConnectResponse) => this.receive(frame, resolve));
      this.stream.on('error', reject);
    });
    this.stream.on('close', () => client.close());
    const about = { incarnation, bootId: 'bench', vmGeneration: 1, version: 'bench', protocol: 1 };
    const hello = Hello.fromPartial({
      agentId,
      ...about,
      journalId: incarnation,
      killScope: 'process_group',
    });
    this.send({ $case: 'hello', value: hello });
    this.send({ $case: 'health', value: HEALTH });
  }

  /** Resolves when so many tasks since the start of this agent are stored as ended. */
  ended(tasks: number): Promise<void> {
    return new Promise((done) => {
      this.waiting = { position: tasks * 2, done };
      this.check();
    });
  }

  close(): void {
    this.stream.cancel();
  }

  private receive({ frame }: ConnectResponse, welcomed: () => void): void {
    if (frame?.$case === 'welcome') welcomed();
    else if (frame?.$case === 'assignment') this.run(frame.value.task, frame.value.attempt);
    else if (frame?.$case === 'ack') {
      this.acked = frame.value.sequence;
      this.check();
    }
  }

  private run(task: string, attempt: number): void {
    const startTime = now();
    const base = { task, attempt, startTime };
    this.sequence += 2;
    const started = { ...base, state: 'RUNNING', sequence: this.sequence - 1, endTime: undefined } as const;
    this.send({ $case: 'report', value: { ...started, outcome: undefined } });
    const ended = { ...base, state: 'SUCCEEDED', sequence: this.sequence, endTime: startTime } as const;
    this.send({ $case: 'report', value: { ...ended, outcome: OUTCOME } });
  }

  private check(): void {
    if (this.waiting && this.acked >= this.waiting.position) this.waiting.done();
  }

  private send(frame: NonNullable<ConnectRequest['frame']>): void {
    this.stream.write({ frame });
  }
}

const agents = new Map<string, IdleAgent>();

/** Agents that do nothing, each on a connection of its own. */
export const idleAgents = serve({
  /** Connects agents; resolves when all have their Welcome. */
  async connect(registered: readonly Registered[]): Promise<void> {
    const incarnation = `${process.pid}-${performance.now()}`;
    const made = registered.map((agent) => new IdleAgent(agent, incarnation));
    registered.forEach(({ agentId }, at) => {
      const agent = made[at];
      if (agent) agents.set(agentId, agent);
    });
    await Promise.all(made.map((agent) => agent.ready));
  },
  /** Resolves when an agent has ended so many tasks since it connected. */
  ended: ({ agentId, tasks }: { readonly agentId: string; readonly tasks: number }) =>
    agents.get(agentId)?.ended(tasks),
  disconnect(): void {
    for (const agent of agents.values()) agent.close();
    agents.clear();
  },
});

export type IdleAgents = typeof idleAgents;
