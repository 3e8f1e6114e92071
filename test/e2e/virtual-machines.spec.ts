import { mkdtemp, readdir, readFile, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { systemClock } from '../../src/base/clock.js';
import { machinePaths, qemuMachinesDir, readRecord } from '../../src/vm/providers/qemu/machine-record.js';
import { findQemu } from '../../src/vm/providers/qemu/qemu-process.js';
import { HubProcess } from '../support/e2e/hub-process.js';
import { qemuImages } from '../support/qemu-harness.js';

const PREPARE_MS = 15 * 60_000;
const SLOW = { timeoutMs: 240_000 };
/** How soon the tasks of a machine that died have to be over. */
const LOST_MS = 15_000;

describe('virtual machines, by the CLI', function () {
  this.timeout(300_000);
  let hub: HubProcess;

  before(async function () {
    this.timeout(PREPARE_MS);
    const images = await qemuImages();
    if (images === undefined) return this.skip();
    const home = await mkdtemp(join(tmpdir(), 'vm-agent-e2e-'));
    await symlink(images, join(home, 'images'));
    hub = await HubProcess.start({ home });
  });
  after(() => hub?.close());

  const exec = async (command: string) => (await hub.ok(['exec', 'dev', command], SLOW)).stdout.trim();
  const machinesDir = () => qemuMachinesDir(join(hub.home, 'qemu'));

  it('are the default where there is an image, and need no more than a name', async () => {
    const size = ['--cpu', '2', '--memory', '1G', '--disk', '4G', '--timeout', '200s'];
    const made = await hub.ok(['create', 'dev', ...size], SLOW);
    expect(made.stdout).to.equal('dev\n');
    for (const stage of ['image', 'disk', 'boot', 'agent']) expect(made.stderr).to.include(stage);
    const { stdout } = await hub.ok(['status', 'dev']);
    expect(stdout)
      .to.match(/Provider: +qemu/)
      .and.to.match(/Acceleration: +(kvm|hvf|tcg)/)
      .and.to.match(/a security boundary/);
  });

  it('run commands as an ordinary user with sudo, under their own kernel and name', async () => {
    expect(await exec('id -un; hostname; sudo id -un; systemctl is-active vm-agent')).to.equal(
      'agent\ndev\nroot\nactive',
    );
    expect(await exec('cat /proc/sys/kernel/random/boot_id')).to.not.equal(
      (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim(),
    );
  });

  it('wake with their memory, at the right time, with other random numbers', async () => {
    await exec('echo precious > ~/note; sudo sh -c "echo memory > /run/memory"');
    await hub.ok(['snapshot', 'dev', 'clean'], SLOW);
    expect((await hub.ok(['snapshots', 'dev'])).stdout).to.match(/^clean +live/m);
    const numbers = [
      'node -e "console.log(require(\'crypto\').randomUUID())"; cat /proc/sys/kernel/random/uuid',
    ];
    const seen: string[] = [];
    for (const _ of [1, 2]) {
      await exec('rm ~/note; sudo rm /run/memory');
      await hub.ok(['restore', 'dev', 'clean'], SLOW);
      expect(await exec('cat ~/note /run/memory')).to.equal('precious\nmemory');
      const behindMs = Date.now() - Number(await exec('date +%s%3N'));
      expect(behindMs).to.be.within(-1_000, 10_000);
      seen.push(...(await exec(numbers.join('; '))).split('\n'));
    }
    expect(new Set(seen).size).to.equal(4);
  });

  it('go on when the hub is killed; the next one adopts them, with every line of output', async () => {
    const task = hub.startCli(['exec', 'dev', 'for i in $(seq 1 30); do echo line $i; sleep 0.3; done']);
    while (!task.stdout.includes('line 3\n')) await systemClock.sleep(50);
    await hub.crash();
    await hub.startAgain();
    await task.ended(60_000);
    const { stdout } = await hub.ok(['logs', 'dev', '--lines', '30']);
    expect(stdout.trim().split('\n')).to.deep.equal(Array.from({ length: 30 }, (_, i) => `line ${i + 1}`));
  });

  it('that are killed lose their tasks at once, and start again', async () => {
    const task = hub.startCli(['exec', 'dev', 'echo begun; sleep 1000']);
    while (!task.stdout.includes('begun')) await systemClock.sleep(50);
    const record = await readRecord(machinePaths(machinesDir(), 'dev'));
    const qemu = record && (await findQemu('/nowhere', record));
    process.kill(qemu?.pid ?? -1, 'SIGKILL');
    const { exitCode, stderr } = await task.ended(LOST_MS);
    expect(exitCode).to.equal(125);
    expect(stderr).to.match(/lost/);
    expect((await hub.ok(['status', 'dev'])).stdout).to.match(/ended by itself/);
    await hub.ok(['start', 'dev'], SLOW);
    expect(await exec('cat ~/note')).to.equal('precious');
  });

  it('switch off in good order, and leave nothing when they are destroyed', async () => {
    const began = systemClock.monotonic();
    await hub.ok(['stop', 'dev'], SLOW);
    expect(systemClock.monotonic() - began).to.be.lessThan(40_000);
    await hub.ok(['destroy', 'dev', '--force'], SLOW);
    expect(await readdir(machinesDir())).to.deep.equal([]);
  });
});
