import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { residentBytes } from '../test/support/e2e/memory.js';
import { BenchAgent } from './support/agent.js';
import { CpuShares } from './support/cpu.js';
import type { Bench, BenchOptions, Figure } from './support/figures.js';
import { BenchHub } from './support/hub.js';
import { PeakMemory } from './support/peak.js';
import { interleave, median } from './support/rounds.js';
import { Worker } from './support/worker.js';
import type { Relay } from './workers/relay.js';

/** Output of a command, on its way through the agent's spool and the hub's log to a follower. */
export const output: Bench = { name: 'output', about: 'output from an agent to a follower', run };

async function run({ rounds, quick }: BenchOptions): Promise<Figure[]> {
  const bytes = quick ? 100e6 : 400e6;
  const commands = { zeros: `head -c ${bytes} /dev/zero`, text: `yes | head -c ${bytes}` };
  await using hub = await BenchHub.start();
  await using agent = await BenchAgent.start(hub, 'output');
  await using follower = await Worker.start<Relay>('relay');
  const pids = [hub.pid, agent.pid];
  const cpu = new CpuShares({ hub: hub.pid, agent: agent.pid, follower: follower.pid });
  const peak = new PeakMemory(pids);
  const ours = (command: string) => () =>
    peak.during(() =>
      cpu.during(async () => {
        const { address, token } = hub;
        const work = () => follower.call('exec', { address, token, agent: 'output', command });
        return throughput(bytes, work);
      }),
    );
  await follower.call('exec', { address: hub.address, token: hub.token, agent: 'output', command: 'true' });
  const before = await residentBytes(pids);
  const results = await interleave(rounds, {
    bareZeros: () => bareRelay(bytes, commands.zeros),
    zeros: ours(commands.zeros),
    bareText: () => bareRelay(bytes, commands.text),
    text: ours(commands.text),
  });
  const [hubPeak = 0, agentPeak = 0] = peak.megabytes;
  const [hubBefore = 0, agentBefore = 0] = before.map((resident) => resident / 1e6);
  const shared = { unit: 'MB/s', floorIs: 'a bare relay of three processes that writes both files' };
  const goal = { of: 'ratio', atLeast: 0.6 } as const;
  return [
    {
      what: 'output, zeros',
      ...shared,
      ours: median(results.zeros),
      floor: median(results.bareZeros),
      goal,
      note: `${cpu}`,
    },
    {
      what: 'output, text lines',
      ...shared,
      ours: median(results.text),
      floor: median(results.bareText),
      goal,
    },
    {
      what: 'hub memory while output flows, most',
      unit: 'MB',
      ours: hubPeak,
      floor: hubBefore,
      floorIs: 'before',
    },
    {
      what: 'agent memory while output flows, most',
      unit: 'MB',
      ours: agentPeak,
      floor: agentBefore,
      floorIs: 'before',
    },
  ];
}

async function bareRelay(bytes: number, command: string): Promise<number> {
  const dir = await mkdtemp(join(tmpdir(), 'bench-relay-'));
  await using middle = await Worker.start<Relay>('relay');
  await using source = await Worker.start<Relay>('relay');
  await using sink = await Worker.start<Relay>('relay');
  try {
    const address = await middle.call('listen', join(dir, 'middle'));
    await sink.call('follow', { address });
    return await throughput(bytes, async () => {
      const file = join(dir, 'source');
      const [taken] = await Promise.all([
        sink.call('taken', undefined),
        source.call('give', { address, command, file }),
      ]);
      return taken ?? 0;
    });
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

/** Megabytes per second. @throws when not all of them came. */
async function throughput(bytes: number, work: () => Promise<number>): Promise<number> {
  const begin = performance.now();
  const came = await work();
  if (came !== bytes) throw new Error(`${came} of ${bytes} bytes came`);
  return bytes / 1000 / (performance.now() - begin);
}
