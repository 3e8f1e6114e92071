import { closeSync, fdatasyncSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createClient, type VmAgentClient } from '../src/client/index.js';
import { BenchAgent } from './support/agent.js';
import type { Bench, BenchOptions, Figure } from './support/figures.js';
import { BenchHub } from './support/hub.js';
import { RAW_ECHO } from './support/raw-paths.js';
import { interleave, percentile } from './support/rounds.js';
import { Worker } from './support/worker.js';
import type { GrpcLoad } from './workers/grpc-load.js';
import type { RawGrpc } from './workers/raw-grpc.js';

/** Between tasks, so that one does not wait for the end of another. */
const PAUSE_MS = 15;

/** How long it takes from handing in a task until its start is durable in the agent's journal. */
export const latency: Bench = {
  name: 'latency',
  about: 'submit to STARTED in the journal of the real agent',
  run,
};

async function run({ rounds, quick }: BenchOptions): Promise<Figure[]> {
  await using hub = await BenchHub.start();
  await using raw = await Worker.start<RawGrpc>('raw-grpc');
  await using load = await Worker.start<GrpcLoad>('grpc-load');
  await using agent = await BenchAgent.start(hub, 'latency');
  await using client = createClient({ address: hub.address, token: hub.token });
  const starts = new Starts(agent);
  const count = quick ? 50 : 150;
  const address = await raw.call('listen', { reply: '' });
  const echo = { address, path: RAW_ECHO, bytes: 200, count: count * 4, inFlight: 1 };
  await submitted(client, starts, 20);
  const results = await interleave(rounds, {
    pings: () => load.call('echoTimes', echo),
    syncs: async () => syncTimes(count),
    starts: () => submitted(client, starts, count),
  });
  const at = (name: keyof typeof results, percent: number) => percentile(results[name].flat(), percent);
  const [ping, sync] = [at('pings', 50), at('syncs', 50)];
  const budget = 6 * ping + 2 * sync;
  return [
    {
      what: 'submit to STARTED journaled, p50',
      unit: 'ms',
      ours: at('starts', 50),
      floor: budget,
      floorIs: `6 ping-pongs of ${ping.toFixed(3)} ms + 2 fdatasyncs of ${sync.toFixed(3)} ms`,
      goal: { of: 'ratio', atMost: 1 },
    },
    {
      what: 'submit to STARTED journaled, p99',
      unit: 'ms',
      ours: at('starts', 99),
      floor: 6 * at('pings', 99) + 2 * at('syncs', 99),
      floorIs: 'the same of their p99',
    },
  ];
}

/** Milliseconds of each task, one after the other, each in a lane of its own. */
async function submitted(client: VmAgentClient, starts: Starts, count: number): Promise<number[]> {
  const times: number[] = [];
  for (let n = 0; n < count; n++) {
    const id = `latency-${process.pid}-${performance.now()}`.replaceAll('.', '-');
    const started = starts.of(id);
    const begin = performance.timeOrigin + performance.now();
    await client.tasks.create({ type: 'exec', argv: ['true'], agent: 'latency', id, lane: id });
    times.push((await started) - begin);
    await sleep(PAUSE_MS);
  }
  return times;
}

/** How long a start may take. */
const START_MS = 10_000;

/** Waits for starts of tasks. */
class Starts {
  private readonly waiting = new Map<string, (atMs: number) => void>();

  constructor(agent: BenchAgent) {
    agent.onStarted(({ task, atMs }) => {
      this.waiting.get(task)?.(atMs);
      this.waiting.delete(task);
    });
  }

  of(task: string): Promise<number> {
    return new Promise((resolve, reject) => {
      const late = setTimeout(() => reject(new Error(`no start of ${task} in the journal`)), START_MS);
      this.waiting.set(task, (atMs) => {
        clearTimeout(late);
        resolve(atMs);
      });
    });
  }
}

/** Milliseconds of appending a small record and having it on the disk. */
function syncTimes(count: number): number[] {
  const dir = mkdtempSync(join(tmpdir(), 'bench-sync-'));
  const file = openSync(join(dir, 'floor'), 'a');
  try {
    const record = Buffer.alloc(200, 'x');
    return Array.from({ length: count }, () => {
      const begin = performance.now();
      writeSync(file, record);
      fdatasyncSync(file);
      return performance.now() - begin;
    });
  } finally {
    closeSync(file);
    rmSync(dir, { recursive: true });
  }
}
