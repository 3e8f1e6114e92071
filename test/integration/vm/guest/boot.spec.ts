import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { packageRoot } from '../../../../src/base/package-root.js';
import type { AttemptReport } from '../../../../src/model/agent-protocol.js';
import type { GuestBoot } from '../../../../src/model/guest-boot.js';
import type { TaskSpec } from '../../../../src/model/task.js';
import { ensureRuntimeDisk } from '../../../../src/vm/guest/runtime-disk.js';
import { ImageStore } from '../../../../src/vm/images/image-store.js';
import { FakeAgentDoor } from '../../../support/fake-agent-door.js';
import { PlainGuest } from '../../../support/plain-guest.js';
import { testImage } from '../../../support/test-image.js';

const signal = new AbortController().signal;
const GIB = 1024 ** 3;
/** An emulated processor on a busy host is slow. */
const PATIENCE_MS = 240_000;

function missingTool(): string | undefined {
  return ['qemu-system-x86_64', 'qemu-img', 'socat'].find((tool) => {
    try {
      execFileSync('sh', ['-c', 'command -v "$1"', 'sh', tool], { stdio: 'pipe' });
      return false;
    } catch {
      return true;
    }
  });
}

/**
 * One real machine by a plain command line of QEMU, from its start to its end; the cases build on each other because a
 * start takes long where the processor is emulated.
 */
describe('a guest of our own image', function () {
  this.timeout(PATIENCE_MS);
  const hub = new FakeAgentDoor();
  let dir: string | undefined;
  let guest: PlainGuest | undefined;
  let boot: GuestBoot;
  let count = 0;

  before(async function () {
    this.timeout(600_000);
    const missing = missingTool();
    if (missing !== undefined) {
      console.log(`SKIPPED: a real guest (${missing} is missing)`);
      return this.skip();
    }
    const images = await testImage();
    if (images === undefined) return this.skip();
    const { paths } = await new ImageStore(images).verify('default', signal);
    if (paths.kernel === undefined || paths.initrd === undefined) throw new Error('no kernel');
    execFileSync(process.execPath, ['scripts/build.mjs', '--if-needed'], {
      cwd: packageRoot(),
      stdio: 'pipe',
    });
    dir = mkdtempSync(join(tmpdir(), 'guest-runtime-'));
    const agentProgram = join(packageRoot(), 'dist', 'agent', 'agent.mjs');
    const runtime = await ensureRuntimeDisk({ dir, agentProgram, nodePath: process.execPath }, signal);
    await hub.listen();
    const { disk, kernel, initrd } = paths;
    const door = hub.door.slice('unix:'.length);
    guest = new PlainGuest({ disk, kernel, initrd, runtime: runtime.path, door });
    boot = {
      schema: 1,
      agentId: 'dev',
      joinSecret: 'the-join-secret',
      door: '10.0.2.100:9090',
      vmGeneration: 1,
      network: 'isolated',
      hostname: 'dev',
      diskBytes: 6 * GIB,
      timeMs: Date.now(),
    };
    await guest.start(boot);
    await hub.sessions(1);
  });

  after(async () => {
    await guest?.close();
    hub.close();
    if (dir !== undefined) rmSync(dir, { recursive: true, force: true });
  });

  afterEach(function () {
    if (this.currentTest?.state === 'failed') console.log(guest?.console?.slice(-3000));
  });

  function exec(command: string, more: Partial<TaskSpec> = {}): Promise<AttemptReport> {
    count += 1;
    return hub.exec(`task-${count}`, command, { timeoutMs: 120_000, ...more });
  }

  /** Starts a task in a lane of its own. */
  function beside(task: string, spec: object): void {
    const whole = { type: 'exec', timeoutMs: 600_000, ...spec } as TaskSpec;
    hub.assign(task, whole, { lane: task });
  }

  async function says(command: string, more: Partial<TaskSpec> = {}): Promise<string> {
    const { outcome } = await exec(command, more);
    expect(outcome?.exitCode, `${command}: ${outcome?.stderrTail} ${outcome?.message ?? ''}`).to.equal(0);
    return outcome?.stdoutTail.trim() ?? '';
  }

  it('starts an agent with the identity of its boot disk, and a cgroup for each task', () => {
    expect(hub.hellos[0]).to.include({ agentId: 'dev', vmGeneration: 1, killScope: 'cgroup' });
    expect(hub.metadata[0]?.get('authorization')).to.deep.equal(['Bearer the-join-secret']);
  });

  it('has its own name, its own machine id, its own time, and all of its disk', async () => {
    expect(await says('hostname; grep dev /etc/hosts; cat /etc/hostname')).to.equal(
      'dev\n127.0.1.1 dev\ndev',
    );
    expect(await says('cat /etc/machine-id')).to.match(/^[0-9a-f]{32}$/);
    expect(Math.abs(Number(await says('date +%s')) - Date.now() / 1000)).to.be.lessThan(30);
    expect(Number(await says('df --output=size -B1 / | tail -1'))).to.be.greaterThan(5.5 * GIB);
    expect(await says('cat /etc/resolv.conf')).to.not.include('nameserver');
  });

  it('runs tasks as the user agent, who may become root', async () => {
    expect(await says('id -un; echo $HOME $USER; pwd; touch /opt/mine /srv/mine')).to.equal(
      'agent\n/home/agent agent\n/home/agent',
    );
    expect(await says('id -un', { sudo: true })).to.equal('root');
    expect(await says('sudo -n id -u')).to.equal('0');
  });

  it('has Node.js and npm in the path of tasks, and of sudo', async () => {
    const versions = await says('node --version; sudo node --version; command -v npm; command -v npx');
    expect(versions).to.equal(
      `${process.version}\n${process.version}\n/usr/local/bin/npm\n/usr/local/bin/npx`,
    );
    expect(await says('npm --version')).to.match(/^\d+\./);
    expect(await says('sudo npm config get prefix')).to.equal('/usr/local');
  });

  it('hides the secrets of the agent from tasks (fault case 85)', async () => {
    const places = '/var/lib/vm-agent/journal /run/vm-agent/boot.json /dev/vd?';
    const { outcome } = await exec(`cat ${places}`);
    expect(outcome).to.include({ exitCode: 1, stdoutTail: '' });
    expect((await exec('ls /var/lib/vm-agent')).outcome?.exitCode).to.equal(2);
    expect(await says('tr "\\0" "\\n" < /proc/self/environ')).to.not.include('the-join-secret');
  });

  it('has the agent as the unit vm-agent, which can be asked, restarted, and killed without harm to tasks', async () => {
    expect(await says('systemctl is-active vm-agent; systemctl status vm-agent --no-pager')).to.include(
      'active (running)',
    );
    expect(await says('sudo journalctl -u vm-agent --no-pager')).to.include('agent started');
    const count = 'i=0; while [ ! -e /tmp/go ]; do i=$((i+1)); echo $i; sleep 0.2; done';
    beside('long', { run: { command: count } });
    await hub.until(() => hub.size('long') > 0);
    const sessions = () => hub.hellos.length;
    for (const command of ['systemctl restart vm-agent', 'pkill -KILL -f "agent.mjs --config"']) {
      const before = sessions();
      beside(`end-${before}`, { run: { command }, sudo: true });
      await hub.until(() => sessions() > before);
      expect(
        hub.hellos.at(-1)?.attempts.some(({ task, state }) => task === 'long' && state === 'RUNNING'),
      ).to.equal(true);
    }
    expect(await says('touch /tmp/go')).to.equal('');
    const lines = (await hub.ended('long')).outcome;
    const seen = hub.output('long').toString().trim().split('\n').map(Number);
    expect(lines?.exitCode).to.equal(0);
    expect(seen).to.deep.equal(seen.map((_, index) => index + 1));
    expect(hub.troubles.filter(({ kind }) => kind === 'gap')).to.deep.equal([]);
  });

  it('ends a task that wants more memory than there is, says so, and the agent goes on (fault case 82)', async () => {
    const before = hub.hellos.length;
    const hungry = 'x = [bytearray(b"x" * (1 << 24)) for _ in range(200)]';
    const { state, outcome } = await exec(`python3 -c '${hungry}'`);
    expect(state).to.equal('FAILED');
    expect(outcome?.reason).to.equal('OOM');
    expect(await says('echo on')).to.equal('on');
    expect(hub.hellos.length).to.equal(before);
  });

  it('fails a task that fills the disk, and tells its result (fault case 83)', async () => {
    const { state, outcome } = await exec('fallocate -l 5G /opt/a; cat /dev/zero > /opt/b');
    expect(state).to.equal('FAILED');
    expect(outcome?.stderrTail).to.include('No space left on device');
    expect(await says('rm /opt/a /opt/b; echo on')).to.equal('on');
  });

  it('goes on after a live snapshot, and after a restore is back with other random numbers and the right time', async () => {
    if (guest === undefined) throw new Error('unreachable');
    await guest.hears('ready');
    const loop = 'while :; do echo x >> marker; sleep 0.05; done';
    beside('loop', { run: { command: loop } });
    await hub.state('loop', 'RUNNING');
    await says('while [ ! -s marker ]; do sleep 0.1; done');
    hub.send({ type: 'prepare', barrier: 'b' });
    await hub.until(() => hub.frames.some(({ type }) => type === 'prepared'));
    await guest.snapshot('snapshot-save', 's');
    hub.send({ type: 'resume', barrier: 'b' });
    const saved = Number(await says('wc -l < marker'));
    await says(`while [ "$(wc -l < marker)" -le ${saved + 3} ]; do sleep 0.1; done`);
    const random: string[] = [];
    for (const vmGeneration of [2, 3]) {
      await guest.command('stop');
      await guest.snapshot('snapshot-load', 's');
      const told = { ...boot, vmGeneration, timeMs: Date.now() };
      const seed = randomBytes(64).toString('base64');
      await guest.say({ type: 'woken', boot: told, timeMs: Date.now(), seed });
      await guest.command('cont');
      await guest.hears('done', 'woken');
      await hub.until(() => hub.hellos.at(-1)?.vmGeneration === vmGeneration);
      random.push(await says('head -c 16 /dev/urandom | od -An -tx1; cat /proc/sys/kernel/random/uuid'));
      expect(Math.abs(Number(await says('date +%s')) - Date.now() / 1000)).to.be.lessThan(30);
      expect(
        await says('wc -l < marker; sleep 0.3; wc -l < marker; pgrep -cfx "sleep 0.05" || true'),
      ).to.match(/^(\d+)\n\1\n0$/);
    }
    const ids = hub.hellos.slice(-2).flatMap(({ incarnation, journalId }) => [incarnation, journalId]);
    expect(new Set([...random, ...ids]).size).to.equal(6);
  });
});
