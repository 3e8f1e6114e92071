import { mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createClient, type VmAgentClient } from '../src/client/index.js';
import { ensureRuntimeDisk } from '../src/vm/guest/runtime-disk.js';
import { ImageStore } from '../src/vm/images/image-store.js';
import { HubProcess, ROOT } from '../test/support/e2e/hub-process.js';
import { FakeAgentDoor } from '../test/support/fake-agent-door.js';
import { PlainGuest } from '../test/support/plain-guest.js';
import { testImage } from '../test/support/test-image.js';
import type { Bench, BenchOptions, Figure } from './support/figures.js';
import { percentile } from './support/rounds.js';

/** Virtual machines of QEMU beside the bare command line with the same kernel, disk and unit. */
export const machines: Bench = {
  name: 'machines',
  about: 'virtual machines: create, snapshot, restore',
  run,
};

const SIZE = { cpu: 2, memory: '1G', disk: '8G' };
const DISK_BYTES = 8 * 1024 ** 3;

interface Times {
  readonly create: number[];
  readonly save: number[];
  /** Start of QEMU, loading the memory, and until the agent is online; the floor only loads. */
  readonly load: number[];
}

const noTimes = (): Times => ({ create: [], save: [], load: [] });

async function run({ rounds, quick }: BenchOptions): Promise<Figure[]> {
  const images = await testImage();
  if (images === undefined) return [];
  const dir = await mkdtemp(join(tmpdir(), 'bench-machines-'));
  await symlink(images, join(dir, 'images'));
  const hub = await HubProcess.start({ home: dir });
  const [ours, bare] = [noTimes(), noTimes()];
  try {
    const plain = await plainParts(images, dir);
    await using client = createClient({ address: hub.grpcAddress, token: await hub.token() });
    // The first one hashes the image, makes the runtime disk and tries out KVM, once for all.
    await ofOurs(client, noTimes());
    for (let round = 0; round < (quick ? 1 : rounds * 2); round++) {
      await ofPlain(plain, bare);
      await ofOurs(client, ours);
    }
  } finally {
    await hub.close();
    await rm(dir, { recursive: true, force: true });
  }
  return [...figures(50, ours, bare), ...figures(95, ours, bare)];
}

function figures(percent: number, ours: Times, bare: Times): Figure[] {
  const at = (times: readonly number[]) => percentile(times, percent) / 1000;
  const figure = (what: string, key: keyof Times, more: Partial<Figure>): Figure => {
    const floor = bare[key].length > 0 ? { floor: at(bare[key]), floorIs: 'bare QEMU' } : {};
    return { what: `${what}, p${percent}`, unit: 's', ours: at(ours[key]), ...floor, ...more };
  };
  const most = (atMost: number) => (percent === 50 ? { goal: { of: 'ours', atMost } as const } : {});
  const created = percent === 50 ? { goal: { of: 'ratio', atMost: 1.2 } as const } : {};
  return [
    figure('create to the end of the first command, qemu', 'create', created),
    figure('live snapshot of 1 GiB', 'save', { ...most(0.5), note: 'ours with the freeze of the tasks' }),
    figure('restore of 1 GiB until the agent is back', 'load', {
      ...most(2),
      note: 'the floor only loads; 0.5 s for QEMU, 1.5 s for the agent',
    }),
  ];
}

async function ofOurs(client: VmAgentClient, times: Times): Promise<void> {
  const agent = `bench-${Math.round(performance.now())}`;
  times.create.push(
    await timed(async () => {
      await client.agents.create({ name: agent, provider: 'qemu', ...SIZE });
      await client.exec({ agent, argv: ['true'] });
    }),
  );
  times.save.push(await timed(() => client.vm.snapshot({ agent, name: 'one' })));
  const { stages } = await client.vm.restore(agent, 'one');
  const ms = (name: string) => stages.find((stage) => stage.name === name)?.durationMs ?? Number.NaN;
  times.load.push(ms('boot') + ms('agent'));
  await client.agents.remove(agent, { force: true });
}

async function ofPlain(parts: Omit<ConstructorParameters<typeof PlainGuest>[0], 'door'>, times: Times) {
  const door = new FakeAgentDoor();
  await door.listen();
  const guest = new PlainGuest({ ...parts, door: door.door.slice('unix:'.length) });
  try {
    times.create.push(
      await timed(async () => {
        await guest.start(BOOT);
        await door.sessions(1);
        await door.exec('first', 'true', { timeoutMs: 120_000 });
      }),
    );
    times.save.push(await guest.snapshot('snapshot-save', 'one'));
    times.load.push(await guest.snapshot('snapshot-load', 'one'));
  } finally {
    await guest.close();
    door.close();
  }
}

const BOOT = {
  schema: 1,
  agentId: 'bare',
  joinSecret: 'secret',
  door: '10.0.2.100:9090',
  vmGeneration: 1,
  network: 'isolated',
  hostname: 'bare',
  diskBytes: DISK_BYTES,
  timeMs: Date.now(),
} as const;

async function plainParts(images: string, dir: string) {
  const signal = AbortSignal.timeout(120_000);
  const { disk, kernel, initrd } = (await new ImageStore(images).verify('default', signal)).paths;
  if (kernel === undefined || initrd === undefined) throw new Error('the image has no kernel of its own');
  const agentProgram = join(ROOT, 'dist', 'agent', 'agent.mjs');
  const runtimes = join(dir, 'bare-runtime');
  const { path } = await ensureRuntimeDisk(
    { dir: runtimes, agentProgram, nodePath: process.execPath },
    signal,
  );
  return { disk, kernel, initrd, runtime: path };
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const begin = performance.now();
  await work();
  return performance.now() - begin;
}
