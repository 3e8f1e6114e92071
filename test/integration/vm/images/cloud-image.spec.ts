import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { build } from 'esbuild';
import { systemClock } from '../../../../src/base/clock.js';
import { silentLogger } from '../../../../src/base/logger.js';
import { HubError } from '../../../../src/model/hub-error.js';
import { ensureRuntimeDisk } from '../../../../src/vm/guest/runtime-disk.js';
import { ImageStore } from '../../../../src/vm/images/image-store.js';
import { importImage } from '../../../../src/vm/images/import-image.js';
import { hasTool } from '../../../../src/vm/images/tool.js';
import { createQemuProvider, type QemuProvider } from '../../../../src/vm/providers/qemu/qemu-provider.js';
import { cloudImage } from '../../../support/cloud-image.js';
import { FakeAgentDoor } from '../../../support/fake-agent-door.js';

/** The limit for a cloud image: also with an emulated processor. */
const START_MS = 180_000;
const GIB = 1024 ** 3;

describe('a cloud image', function () {
  this.timeout(900_000);
  let file: string;
  let dir: string;
  let door: FakeAgentDoor;
  let provider: QemuProvider | undefined;
  const signal = new AbortController().signal;

  before(async function () {
    const missing = missingTools() ?? (await buildProblem());
    if (missing === undefined) return;
    console.warn(`SKIPPED: cloud images in virtual machines: ${missing}`);
    this.skip();
  });

  function missingTools(): string | undefined {
    const missing = ['qemu-system-x86_64', 'socat'].filter((tool) => !hasTool(tool, process.env));
    return missing.length === 0 ? undefined : `${missing.join(', ')} is not installed`;
  }

  /** Builds it when that is possible. */
  async function buildProblem(): Promise<string | undefined> {
    try {
      file = await cloudImage();
      return undefined;
    } catch (err) {
      if (err instanceof HubError && err.reason === 'TOOL_MISSING') return err.message;
      throw err;
    }
  }

  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'vmc-'));
    door = new FakeAgentDoor();
    await door.listen();
    // Machines have a user of their own here.
    await chmod(door.dir, 0o711);
    await chmod(join(door.dir, 's'), 0o666);
  });
  afterEach(async () => {
    await provider?.destroy('cloudy', signal);
    provider?.close();
    door.close();
    await rm(dir, { recursive: true, force: true });
  });

  it('starts by its own bootloader, and its agent connects over a network that is up', async () => {
    const images = new ImageStore(join(dir, 'images'));
    const options = { store: images, file, name: 'cloud', arch: process.arch, env: process.env };
    const { manifest } = await importImage(options, () => {}, signal);
    expect(manifest.kind).equal('cloud');
    const qemu = makeProvider(images, await agentBundle());
    const network = (await qemu.selfTest(signal)).works
      ? (qemu.capabilities.networks[0] ?? 'isolated')
      : 'isolated';
    const resources = { cpu: 2, memoryBytes: GIB, diskBytes: 4 * GIB };
    const spec = { name: 'cloudy', resources, image: 'cloud', network, allowHostSudo: false };
    const boot = { agentId: 'cloudy', door: door.door, joinSecret: 'x'.repeat(43), vmGeneration: 1 };
    const report = () => () => {};
    await qemu.create(spec, report, signal);
    const startedMs = Date.now();
    await qemu.start('cloudy', boot, report, signal);
    await Promise.race([door.sessions(1), tooLate(qemu)]);
    const seconds = (Date.now() - startedMs) / 1000;
    console.log(`        connected after ${seconds.toFixed(1)} s`);
    expect(seconds * 1000).below(START_MS);

    const ended = await door.exec('look', LOOK);
    const seen = door.output('look').toString();
    expect(ended.state, seen).equal('SUCCEEDED');
    expect(seen).match(/^agent$/m);
    expect(seen).match(/^root$/m);
    expect(seen).match(/^cloudy$/m);
    expect(seen).match(/eth0 +UP +10\.0\.2\.15\/24/);
    expect(seen).match(/^default via 10\.0\.2\.2 /m);
    expect(Number(/^size=(\d+)$/m.exec(seen)?.[1])).above(3.5 * GIB);
    if (network === 'internet') expect(seen).match(/^nameserver 10\.0\.2\.3$/m);
  });

  /** Says what the machine said last. */
  function tooLate(qemu: QemuProvider): Promise<never> {
    return new Promise((_resolve, reject) => {
      systemClock.after(START_MS, () => {
        const fail = (said: string) =>
          reject(new Error(`not connected after ${START_MS / 1000} s:\n${said}`));
        qemu.consoleTail('cloudy').then(fail, reject);
      });
    });
  }

  function makeProvider(images: ImageStore, agentProgram: string): QemuProvider {
    const uid = process.getuid?.();
    const runtime = { dir: join(dir, 'runtime'), agentProgram, nodePath: process.execPath };
    provider = createQemuProvider({
      dir: join(dir, 'qemu'),
      runDir: join(dir, 'r'),
      doorSocket: door.door.replace(/^unix:/, ''),
      images,
      runtimeDisk: async (limit) => (await ensureRuntimeDisk(runtime, limit)).path,
      log: silentLogger,
      ...(uid === undefined ? {} : { uid }),
    });
    return provider;
  }

  async function agentBundle(): Promise<string> {
    const outfile = join(dir, 'agent.mjs');
    await build({
      entryPoints: ['src/app/agent-main.ts'],
      outfile,
      bundle: true,
      platform: 'node',
      target: 'node20',
      format: 'esm',
      external: ['@lydell/node-pty'],
      banner: {
        js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);",
      },
      logLevel: 'silent',
    });
    return outfile;
  }
});

const LOOK = `id -un; sudo id -un; hostname; ip -br -4 address show eth0; ip route
echo "size=$(df --output=size -B1 / | tail -1 | tr -d ' ')"; cat /etc/resolv.conf; cloud-init status --wait`;
