import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { residentBytes } from '../test/support/e2e/memory.js';
import type { Bench, BenchOptions, Figure } from './support/figures.js';
import { BenchHub, IN_HUB, type Registered } from './support/hub.js';
import { RAW_ECHO } from './support/raw-paths.js';
import { medians } from './support/rounds.js';
import { Worker } from './support/worker.js';
import type { GrpcLoad } from './workers/grpc-load.js';
import type { IdleAgents } from './workers/idle-agents.js';
import type { RawGrpc } from './workers/raw-grpc.js';

const PROCESSES = 2;
/** For timers, sockets and the allocator to come to rest. */
const SETTLE_MS = 1500;

/** What an agent that does nothing costs the hub. */
export const memory: Bench = { name: 'memory', about: 'memory of the hub for each idle agent', run };

async function run({ rounds, quick }: BenchOptions): Promise<Figure[]> {
  const agents = quick ? 200 : 1000;
  const { hub, bare } = await medians(quick ? 1 : Math.min(rounds, 3), {
    bare: () => bareStreams(agents),
    hub: () => idleAgents(agents),
  });
  return [
    {
      what: `memory of the hub for an idle agent, at ${agents.toLocaleString('en')}`,
      unit: 'KB',
      ours: hub,
      floor: bare,
      floorIs: 'a bare server with one idle stream a connection; both after a collection of garbage',
      goal: { of: 'ratio', atMost: 1.5 },
    },
  ];
}

async function idleAgents(count: number): Promise<number> {
  await using hub = await BenchHub.start();
  await using first = await Worker.start<IdleAgents>('idle-agents');
  await using second = await Worker.start<IdleAgents>('idle-agents');
  const registered: Registered[] = [];
  for (let n = 0; n < count; n++) registered.push(await hub.register(`idle-${n}`));
  await first.call('connect', registered.slice(0, 1));
  const before = await settled(hub.pid);
  const each = Math.ceil(count / PROCESSES);
  for (const [at, worker] of [first, second].entries())
    await worker.call('connect', registered.slice(Math.max(1, at * each), (at + 1) * each));
  return ((await settled(hub.pid)) - before) / 1000 / (count - 1);
}

async function bareStreams(count: number): Promise<number> {
  await using raw = await Worker.start<RawGrpc>('raw-grpc', ['--import', IN_HUB]);
  await using first = await Worker.start<GrpcLoad>('grpc-load');
  await using second = await Worker.start<GrpcLoad>('grpc-load');
  const socket = join(tmpdir(), `bench-${raw.pid}.sock`);
  const address = await raw.call('listen', { reply: '', address: `unix:${socket}` });
  const open = { address, path: RAW_ECHO };
  await first.call('hold', { ...open, count: 1 });
  const before = await settled(raw.pid);
  for (const worker of [first, second])
    await worker.call('hold', { ...open, count: Math.ceil(count / PROCESSES) });
  const after = await settled(raw.pid);
  await rm(socket);
  return (after - before) / 1000 / count;
}

/** Resident bytes after a collection of garbage. */
async function settled(pid: number): Promise<number> {
  await sleep(SETTLE_MS);
  process.kill(pid, 'SIGUSR2');
  await sleep(SETTLE_MS);
  const [bytes = 0] = await residentBytes([pid]);
  return bytes;
}
