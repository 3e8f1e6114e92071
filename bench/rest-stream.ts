import { HubService, StreamLogsRequest } from '../gen/vmagent/v1/hub_service.js';
import { BenchAgent } from './support/agent.js';
import { CpuShares } from './support/cpu.js';
import type { Bench, BenchOptions, Figure } from './support/figures.js';
import { startGoGateway } from './support/go-gateway.js';
import { BenchHub } from './support/hub.js';
import { interleave, type Measure, median } from './support/rounds.js';
import { Worker } from './support/worker.js';
import type { GrpcLoad } from './workers/grpc-load.js';
import type { HttpLoadWorker } from './workers/http-load.js';

const AGENT = 'lines';

/** A long stream by REST, beside the same stream over gRPC. */
export const restStream: Bench = {
  name: 'rest-stream',
  about: 'the 100,000 lines that a task has written, a message each',
  run,
};

async function run({ rounds, quick }: BenchOptions): Promise<Figure[]> {
  await using hub = await BenchHub.start();
  await using agent = await BenchAgent.start(hub, AGENT);
  await using http = await Worker.start<HttpLoadWorker>('http-load');
  await using grpc = await Worker.start<GrpcLoad>('grpc-load');
  await using gateway = await startGoGateway(hub.address);
  const command = `seq ${quick ? 20_000 : 100_000}`;
  const created = await hub.hub.rest('POST', `/agents/${AGENT}/task`, { type: 'exec', command });
  const task = String(created.at('taskId'));
  await hub.hub.ended(task);
  const path = `/tasks/${task}/logs`;
  // A line that came in two pieces may be two messages.
  const count = (await hub.hub.rest('GET', path)).text.split('\n').length - 1;
  const request = StreamLogsRequest.encode(StreamLogsRequest.fromPartial({ task })).finish();
  const requests = [Buffer.from(request).toString('base64')];
  const call = { address: hub.address, token: hub.token, path: HubService.streamLogs.path, requests, count };
  const pids = { hub: hub.pid, agent: agent.pid };
  const cpu = { hub: new CpuShares(pids), grpc: new CpuShares(pids) };
  const measures: Record<string, Measure<number>> = {
    hub: () => cpu.hub.during(() => http.call('lines', { port: hub.hub.httpPort, path, count })),
    grpc: () => cpu.grpc.during(() => grpc.call('messages', call)),
    ...(gateway ? { go: () => http.call('lines', { port: gateway.port, path, count }) } : {}),
  };
  for (const measure of Object.values(measures)) await measure();
  for (const shares of Object.values(cpu)) shares.reset();
  const results = await interleave(rounds, measures);
  const shared = { what: 'REST stream', unit: 'messages/s', ours: median(results.hub ?? []) };
  const beside = (name: string, floorIs: string): Figure => ({
    ...shared,
    floor: median(results[name] ?? []),
    floorIs,
  });
  const messages = count * rounds;
  return [
    ...(gateway
      ? [{ ...beside('go', 'Go grpc-gateway over the same hub'), goal: { of: 'ratio', atLeast: 1 } as const }]
      : []),
    { ...beside('grpc', 'a grpc-js client of the same hub'), note: `${cpu.hub}` },
    {
      what: 'REST stream, processor time of the hub',
      unit: 'µs',
      ours: cpu.hub.microsEach('hub', messages),
      floor: cpu.grpc.microsEach('hub', messages),
      floorIs: 'the same stream over gRPC',
    },
  ];
}
