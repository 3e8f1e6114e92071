import { CpuShares } from './support/cpu.js';
import type { Bench, BenchOptions, Figure } from './support/figures.js';
import { GoGateway } from './support/go-gateway.js';
import { BenchHub } from './support/hub.js';
import { interleave, type Measure, median } from './support/rounds.js';
import { Worker } from './support/worker.js';
import type { HttpLoadWorker } from './workers/http-load.js';
import type { RawHttp } from './workers/raw-http.js';

const PATH = '/agents/rest/task';
const TASK = { type: 'exec', command: 'npm test', cwd: '/opt/repo' };

/** Tasks handed in by REST: what is answered is on the disk. */
export const rest: Bench = { name: 'rest', about: 'POST /agents/{agent}/task, 32 connections', run };

async function run({ rounds, quick }: BenchOptions): Promise<Figure[]> {
  await using hub = await BenchHub.start();
  await using raw = await Worker.start<RawHttp>('raw-http');
  await using load = await Worker.start<HttpLoadWorker>('http-load');
  await using gateway = await startGateway(hub);
  await hub.register('rest');
  const { text: reply } = await hub.hub.rest('POST', PATH, TASK);
  const post = (port: number, count: number) =>
    load.call('post', { port, path: PATH, body: JSON.stringify(TASK), connections: 32, count });
  const count = quick ? 1500 : 6000;
  const cpu = new CpuShares({ hub: hub.pid, load: load.pid });
  const goCpu = new CpuShares({ hub: hub.pid, load: load.pid, gateway: gateway?.pid ?? 0 });
  const ports = { express: await raw.call('express', reply), node: await raw.call('node', reply) };
  const measures: Record<string, Measure<number>> = {
    express: () => post(ports.express, count * 2),
    hub: () => cpu.during(() => post(hub.hub.httpPort, count)),
    node: () => post(ports.node, count * 3),
    ...(gateway ? { go: () => goCpu.during(() => post(gateway.port, count)) } : {}),
  };
  for (const measure of Object.values(measures)) await measure();
  const results = await interleave(rounds, measures);
  const at = (name: string) => median(results[name] ?? []);
  const ours = { unit: 'tasks/s', ours: at('hub') };
  const compared: Figure[] = [
    {
      what: 'REST POST task',
      ...ours,
      floor: at('express'),
      floorIs: 'bare Express that parses the body',
      note: `${cpu}`,
    },
    { what: 'REST POST task', ...ours, floor: at('node'), floorIs: 'bare node:http that parses the body' },
  ];
  if (!gateway) return compared;
  const floor = { floor: at('go'), floorIs: `Go grpc-gateway over the same hub (${goCpu})` };
  return [{ what: 'REST POST task', ...ours, ...floor, goal: { of: 'ratio', atLeast: 1 } }, ...compared];
}

async function startGateway(hub: BenchHub): Promise<GoGateway | undefined> {
  try {
    return await GoGateway.start(hub.address);
  } catch (err) {
    console.error('SKIPPED: the comparison with a Go grpc-gateway, which cannot be built or run here:', err);
    return undefined;
  }
}
