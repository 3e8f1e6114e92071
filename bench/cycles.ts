import { CreateTaskRequest, HubService } from '../gen/vmagent/v1/hub_service.js';
import { CpuShares } from './support/cpu.js';
import type { Bench, BenchOptions, Figure } from './support/figures.js';
import { BenchHub, type Registered } from './support/hub.js';
import { RAW_ECHO, RAW_UNARY } from './support/raw-paths.js';
import { interleave, median } from './support/rounds.js';
import { Worker } from './support/worker.js';
import type { GrpcLoad } from './workers/grpc-load.js';
import type { IdleAgents } from './workers/idle-agents.js';
import type { RawGrpc } from './workers/raw-grpc.js';

const LANES = 16;
/** Bytes of a report that a task has ended, about. */
const REPORT_BYTES = 100;

/** Whole lives of tasks: submitted, assigned, RUNNING and SUCCEEDED reported, each step durable. */
export const cycles: Bench = {
  name: 'cycles',
  about: 'task cycles with an agent that does nothing',
  run,
};

async function run({ rounds, quick }: BenchOptions): Promise<Figure[]> {
  await using hub = await BenchHub.start();
  await using raw = await Worker.start<RawGrpc>('raw-grpc');
  await using load = await Worker.start<GrpcLoad>('grpc-load');
  await using agents = await Worker.start<IdleAgents>('idle-agents');
  const parts = { hub, load, agents, agent: await hub.register('cycles') };
  const pids = { hub: hub.pid, load: load.pid, agent: agents.pid };
  const cpu = { all: new CpuShares(pids), queued: new CpuShares(pids), strict: new CpuShares(pids) };
  const many = quick ? 2000 : 8000;
  const few = quick ? 500 : 2000;
  const address = await raw.call('listen', { reply: Buffer.alloc(300).toString('base64') });
  const bare = { address, path: RAW_UNARY, requests: requestsOf(LANES), count: many, inFlight: 64 };
  const echo = { address, path: RAW_ECHO, bytes: REPORT_BYTES, inFlight: 64 };
  await online(parts, few, LANES);
  const results = await interleave(rounds, {
    unary: () => load.call('unary', bare),
    all: () => cpu.all.during(() => online(parts, many, LANES)),
    echo: () => load.call('echoes', { ...echo, count: many * 3 }),
    queued: () => queued(parts, many, LANES, cpu.queued),
    strict: () => queued(parts, few, 1, cpu.strict),
  });
  const goal = (atLeast: number) => ({ of: 'ours', atLeast }) as const;
  return [
    {
      what: 'cycles with their submission, 16 lanes, 64 calls in flight',
      unit: 'cycles/s',
      ours: median(results.all),
      floor: median(results.unary),
      floorIs: 'bare unary alone, the same requests',
      goal: goal(5000),
      note: `${cpu.all}`,
    },
    {
      what: 'cycles of a queue in 16 lanes (summit 10,000)',
      unit: 'cycles/s',
      ours: median(results.queued),
      floor: median(results.echo) / 3,
      floorIs: 'a third of the messages/s of a bare stream',
      goal: goal(5000),
      note: `${cpu.queued}`,
    },
    {
      what: 'cycles of a queue in one strict lane',
      unit: 'cycles/s',
      ours: median(results.strict),
      goal: goal(500),
      note: `${cpu.strict}`,
    },
  ];
}

interface Parts {
  readonly hub: BenchHub;
  readonly load: Worker<GrpcLoad>;
  readonly agents: Worker<IdleAgents>;
  readonly agent: Registered;
}

function requestsOf(lanes: number): string[] {
  return Array.from({ length: lanes }, (_, lane) => {
    const task = { type: 'exec', command: 'true', agent: 'cycles', lane: `lane-${lane}` };
    return Buffer.from(CreateTaskRequest.encode(CreateTaskRequest.fromPartial(task)).finish()).toString(
      'base64',
    );
  });
}

function submission({ hub }: Parts, count: number, lanes: number) {
  const target = { address: hub.address, path: HubService.createTask.path, token: hub.token };
  return { ...target, requests: requestsOf(lanes), count, inFlight: 64 };
}

/** Cycles per second while tasks come in and the agent is there. */
async function online(parts: Parts, tasks: number, lanes: number): Promise<number> {
  const { agents, agent, load } = parts;
  await agents.call('connect', [agent]);
  const begin = performance.now();
  const ended = agents.call('ended', { agentId: agent.agentId, tasks });
  await load.call('unary', submission(parts, tasks, lanes));
  await ended;
  const perSecond = (tasks * 1000) / (performance.now() - begin);
  await agents.call('disconnect', undefined);
  return perSecond;
}

/** Cycles per second of tasks that wait when the agent comes. */
async function queued(parts: Parts, tasks: number, lanes: number, cpu: CpuShares): Promise<number> {
  const { agents, agent, load } = parts;
  await load.call('unary', submission(parts, tasks, lanes));
  return cpu.during(async () => {
    const begin = performance.now();
    await agents.call('connect', [agent]);
    await agents.call('ended', { agentId: agent.agentId, tasks });
    const perSecond = (tasks * 1000) / (performance.now() - begin);
    await agents.call('disconnect', undefined);
    return perSecond;
  });
}
