import { CreateTaskRequest, HubService } from '../gen/vmagent/v1/hub_service.js';
import { CpuShares } from './support/cpu.js';
import type { Bench, BenchOptions, Figure } from './support/figures.js';
import { BenchHub } from './support/hub.js';
import { RAW_UNARY } from './support/raw-paths.js';
import { interleave, median } from './support/rounds.js';
import { Worker } from './support/worker.js';
import type { GrpcLoad } from './workers/grpc-load.js';
import type { RawGrpc } from './workers/raw-grpc.js';

/** Handing in tasks for an agent that is offline: what is answered is on the disk. */
export const submit: Bench = {
  name: 'submit',
  about: 'durable submission of tasks by gRPC',
  run,
};

async function run({ rounds, quick }: BenchOptions): Promise<Figure[]> {
  await using hub = await BenchHub.start();
  await using raw = await Worker.start<RawGrpc>('raw-grpc');
  await using load = await Worker.start<GrpcLoad>('grpc-load');
  await hub.register('submit');
  const task = CreateTaskRequest.fromPartial({ type: 'exec', command: 'true', agent: 'submit' });
  const requests = [Buffer.from(CreateTaskRequest.encode(task).finish()).toString('base64')];
  const ours = { address: hub.address, path: HubService.createTask.path, token: hub.token, requests };
  const reply = await load.call('once', ours);
  const floor = { address: await raw.call('listen', { reply }), path: RAW_UNARY, requests };
  const pids = { hub: hub.pid, load: load.pid };
  const shapes = {
    one: { count: quick ? 500 : 2000, inFlight: 1 },
    many: { count: quick ? 1000 : 6000, inFlight: 32 },
  };
  const cpu = { one: new CpuShares(pids), many: new CpuShares(pids) };
  for (const target of [ours, floor]) await load.call('unary', { ...target, count: 500, inFlight: 16 });
  const results = await interleave(rounds, {
    rawOne: () => load.call('unary', { ...floor, ...shapes.one }),
    hubOne: () => cpu.one.during(() => load.call('unary', { ...ours, ...shapes.one })),
    rawMany: () => load.call('unary', { ...floor, ...shapes.many }),
    hubMany: () => cpu.many.during(() => load.call('unary', { ...ours, ...shapes.many })),
  });
  const shared = { unit: 'tasks/s', goal: { of: 'ratio', atLeast: 0.5 } } as const;
  return [
    {
      what: 'submit, one by one',
      ...shared,
      ours: median(results.hubOne),
      floor: median(results.rawOne),
      floorIs: 'bare unary, same bytes, one by one',
      note: `${cpu.one}`,
    },
    {
      what: 'submit, 32 in flight',
      ...shared,
      ours: median(results.hubMany),
      floor: median(results.rawMany),
      floorIs: 'bare unary, same bytes, 32 in flight',
      note: `${cpu.many}`,
    },
  ];
}
