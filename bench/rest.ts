import { CreateTaskRequest, GetAgentStatusRequest, HubService } from '../gen/vmagent/v1/hub_service.js';
import { CpuShares } from './support/cpu.js';
import type { Bench, BenchOptions, Figure } from './support/figures.js';
import { type GoGateway, startGoGateway } from './support/go-gateway.js';
import { BenchHub } from './support/hub.js';
import { interleave, type Measure, median } from './support/rounds.js';
import { Worker } from './support/worker.js';
import type { GrpcLoad } from './workers/grpc-load.js';
import type { HttpLoadWorker, LoadResult } from './workers/http-load.js';
import type { RawHttp } from './workers/raw-http.js';

/** Connections that stay open, or calls in flight. */
const AT_ONCE = 64;
const TASK = { type: 'exec', command: 'npm test', cwd: '/opt/repo' };

/** One route, and the same method over gRPC. */
interface Route {
  readonly what: string;
  readonly method: 'GET' | 'POST';
  readonly path: string;
  readonly body?: object;
  readonly grpc: { readonly path: string; readonly request: Uint8Array };
  readonly count: number;
}

/** Requests by REST, beside the same calls over gRPC. What POST answers is on the disk; GET only reads. */
export const rest: Bench = {
  name: 'rest',
  about: `POST /agents/{agent}/task and GET /agents/{agent}/status, ${AT_ONCE} connections`,
  run,
};

async function run(options: BenchOptions): Promise<Figure[]> {
  await using hub = await BenchHub.start();
  await using raw = await Worker.start<RawHttp>('raw-http');
  await using http = await Worker.start<HttpLoadWorker>('http-load');
  await using grpc = await Worker.start<GrpcLoad>('grpc-load');
  await using gateway = await startGoGateway(hub.address);
  await hub.register('rest');
  const figures: Figure[] = [];
  for (const route of routes(options.quick))
    figures.push(...(await figuresOf(route, { hub, raw, http, grpc, gateway }, options)));
  return figures;
}

function routes(quick: boolean): readonly Route[] {
  const create = CreateTaskRequest.fromPartial({ ...TASK, agent: 'rest' });
  return [
    {
      what: 'REST GET status',
      method: 'GET',
      path: '/agents/rest/status',
      grpc: {
        path: HubService.getAgentStatus.path,
        request: GetAgentStatusRequest.encode({ agent: 'rest' }).finish(),
      },
      count: quick ? 5000 : 20_000,
    },
    {
      what: 'REST POST task',
      method: 'POST',
      path: '/agents/rest/task',
      body: TASK,
      grpc: { path: HubService.createTask.path, request: CreateTaskRequest.encode(create).finish() },
      count: quick ? 1500 : 6000,
    },
  ];
}

interface Parts {
  readonly hub: BenchHub;
  readonly raw: Worker<RawHttp>;
  readonly http: Worker<HttpLoadWorker>;
  readonly grpc: Worker<GrpcLoad>;
  readonly gateway: GoGateway | undefined;
}

async function figuresOf(route: Route, parts: Parts, { rounds }: BenchOptions): Promise<Figure[]> {
  const { hub, raw, http, grpc, gateway } = parts;
  const { method, path, body, count } = route;
  const { text: reply } = await hub.hub.rest(method, path, body);
  const ask = (port: number, times = 1): Promise<LoadResult> => {
    const text = body === undefined ? {} : { body: JSON.stringify(body) };
    return http.call('load', { port, method, path, ...text, connections: AT_ONCE, count: count * times });
  };
  const requests = [Buffer.from(route.grpc.request).toString('base64')];
  const call = { address: hub.address, token: hub.token, path: route.grpc.path, requests };
  const ports = { express: await raw.call('express', reply), node: await raw.call('node', reply) };
  const pids = { hub: hub.pid, load: http.pid };
  const cpu = {
    hub: new CpuShares(pids),
    grpc: new CpuShares({ hub: hub.pid, load: grpc.pid }),
    go: new CpuShares({ ...pids, gateway: gateway?.pid ?? 0 }),
  };
  const measures: Record<string, Measure<LoadResult>> = {
    express: () => ask(ports.express, 2),
    hub: () => cpu.hub.during(() => ask(hub.hub.httpPort)),
    grpc: () => cpu.grpc.during(() => grpc.call('unaryTimes', { ...call, count, inFlight: AT_ONCE })),
    node: () => ask(ports.node, 3),
    ...(gateway ? { go: () => cpu.go.during(() => ask(gateway.port)) } : {}),
  };
  // Once before it counts, so that everything is compiled; processor time is counted from then on.
  for (const measure of Object.values(measures)) await measure();
  for (const shares of Object.values(cpu)) shares.reset();
  const results = await interleave(rounds, measures);
  const at = (name: string, key: keyof LoadResult) =>
    median((results[name] ?? []).map((result) => result[key]));
  return table(route, { at, cpu, requests: count * rounds, go: gateway !== undefined });
}

interface Measured {
  readonly at: (name: string, key: keyof LoadResult) => number;
  readonly cpu: Readonly<Record<'hub' | 'grpc' | 'go', CpuShares>>;
  readonly requests: number;
  readonly go: boolean;
}

function table({ what }: Route, { at, cpu, requests, go }: Measured): Figure[] {
  const beside = (name: string, floorIs: string, more: Partial<Figure> = {}): Figure => ({
    what,
    unit: 'requests/s',
    ours: at('hub', 'rate'),
    floor: at(name, 'rate'),
    floorIs,
    ...more,
  });
  const goIs = `Go grpc-gateway over the same hub (${cpu.go})`;
  const goal = { of: 'ratio', atLeast: 1 } as const;
  const times = (key: 'p50Ms' | 'p99Ms', name: string): Figure => ({
    what: `${what}, ${name}`,
    unit: 'ms',
    ours: at('hub', key),
    floor: at(go ? 'go' : 'grpc', key),
    floorIs: go ? 'Go grpc-gateway over the same hub' : 'a grpc-js client of the same hub',
  });
  return [
    ...(go ? [beside('go', goIs, { goal })] : []),
    beside('grpc', 'a grpc-js client of the same hub', { note: `${cpu.hub}` }),
    beside('express', 'bare Express, same bytes'),
    beside('node', 'bare node:http, same bytes'),
    times('p50Ms', 'p50'),
    times('p99Ms', 'p99'),
    {
      what: `${what}, processor time of the hub`,
      unit: 'µs',
      ours: cpu.hub.microsEach('hub', requests),
      floor: cpu[go ? 'go' : 'grpc'].microsEach('hub', requests),
      floorIs: go ? 'what the hub does behind the Go gateway' : 'the same call over gRPC',
      ...(go ? { note: `the gateway takes ${Math.round(cpu.go.microsEach('gateway', requests))} µs` } : {}),
    },
  ];
}
