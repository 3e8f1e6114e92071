import { createClient } from '../src/client/index.js';
import { runCommand } from '../test/support/e2e/command.js';
import { HubProcess, ROOT } from '../test/support/e2e/hub-process.js';
import type { Bench, BenchOptions, Figure } from './support/figures.js';
import { medians } from './support/rounds.js';

/** How long people wait for the first sign of life. */
export const start: Bench = { name: 'start', about: 'start of the CLI, the hub and a machine', run };

async function run({ rounds, quick }: BenchOptions): Promise<Figure[]> {
  const hub = await HubProcess.start();
  try {
    const cli = await medians(quick ? 5 : rounds * 4, {
      node: () => timed(() => runCommand(process.execPath, ['-e', ''], { env: hub.env })),
      help: () => timed(() => hub.ok(['--help'])),
      list: () => timed(() => hub.ok(['list'])),
    });
    const slow = await medians(quick ? 2 : rounds, {
      hub: hubStart,
      agent: () => agentStart(hub),
      grpc: () =>
        timed(() =>
          runCommand(process.execPath, ['-e', "require('@grpc/grpc-js')"], { cwd: ROOT, env: hub.env }),
        ),
    });
    const floor = { floor: cli.node, floorIs: "node -e ''" };
    const unit = 'ms';
    const first = { what: 'create to the end of the first command, local', unit: 's' };
    return [
      { what: 'vm-agent --help', unit, ours: cli.help, ...floor, goal: { of: 'ratio', atMost: 2.2 } },
      { what: 'vm-agent list', unit, ours: cli.list, ...floor, goal: { of: 'ratio', atMost: 4 } },
      {
        what: 'hub start to healthy',
        unit,
        ours: slow.hub,
        floor: slow.grpc,
        floorIs: 'node that loads grpc-js',
      },
      {
        ...first,
        ours: slow.agent / 1000,
        floor: (2 * cli.node) / 1000,
        floorIs: "node -e '' twice",
        goal: { of: 'ours', atMost: 0.5 },
      },
    ];
  } finally {
    await hub.close();
  }
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const begin = performance.now();
  await work();
  return performance.now() - begin;
}

async function hubStart(): Promise<number> {
  const begin = performance.now();
  const hub = await HubProcess.start();
  const ms = performance.now() - begin;
  await hub.close();
  return ms;
}

async function agentStart(hub: HubProcess): Promise<number> {
  await using client = createClient({ address: hub.grpcAddress, token: await hub.token() });
  const name = `start-${Math.round(performance.now())}`;
  const ms = await timed(async () => {
    await client.agents.create({ name, provider: 'local' });
    await client.exec({ agent: name, argv: ['true'] });
  });
  await hub.ok(['destroy', name, '--force']);
  return ms;
}
