import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, rename, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { expect } from 'chai';
import { systemClock } from '../../../../../src/base/clock.js';
import { run, signalProcess } from '../../../../../src/base/process.js';
import { descendantsOf, listProcesses, type ProcessRow } from '../../../../../src/base/process-table.js';
import { HubError } from '../../../../../src/model/hub-error.js';
import { LAUNCH_SCRIPT } from '../../../../../src/vm/providers/local/scripts.js';
import { type LocalHarness, localHarness } from '../../../../support/local-harness.js';

const soon = () => AbortSignal.timeout(60_000);
const noReport = () => () => {};

describe('local machine', () => {
  let harness: LocalHarness;
  let dir: string;

  beforeEach(async () => {
    harness = await localHarness();
    dir = join(harness.machinesDir, 'dev');
  });

  afterEach(async () => {
    await harness.provider.destroy('dev', soon());
    await harness.close();
  });

  const create = (name = 'dev', image?: string) => {
    const resources = { cpu: 1, memoryBytes: 1, diskBytes: 1 };
    const spec = {
      name,
      resources,
      network: 'host' as const,
      allowHostSudo: true,
      ...(image ? { image } : {}),
    };
    return harness.provider.create(spec, noReport, soon());
  };
  const start = (first = false, generation = 1) =>
    harness.provider.start('dev', harness.boot('dev', generation, first), noReport, soon());
  const sh = async (command: string) => (await harness.exec('dev', command)).output.trim();
  const firstPid = async () => Number((await readFile(join(dir, 'process'), 'utf8')).split(' ')[0]);
  const tree = async (): Promise<readonly ProcessRow[]> =>
    descendantsOf(await firstPid(), await listProcesses());

  /** Processes of this host that run the agent program of this test. */
  const agents = async (): Promise<readonly number[]> => {
    const pids = (await listProcesses()).map((row) => row.pid);
    const lines = await Promise.all(
      pids.map((pid) => readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')),
    );
    const isAgent = (line = '') => line.startsWith(`${process.execPath}\0`) && line.includes(harness.dir);
    return pids.filter((_, i) => isAgent(lines[i]));
  };

  it('has an environment of four variables, and nothing of the hub', async () => {
    await create();
    await start(true);
    const names = (await sh('env')).split('\n').map((line) => line.split('=')[0]);
    expect(
      names.filter((name) => !['PWD', 'SHLVL', '_', 'OLDPWD'].includes(name ?? '')).sort(),
    ).to.deep.equal(['HOME', 'LANG', 'PATH', 'TERM']);
    expect(await sh('echo $HOME; pwd')).to.equal(`${harness.home}\n${harness.home}`);
    expect(await sh('npm --version')).to.match(/^\d+\./);
  });

  it('gets its config and secret outside the snapshot, 0600', async () => {
    await create();
    await start(true, 7);
    const config = JSON.parse(await sh('cat /mnt/config.json'));
    expect(config).to.deep.equal({
      agentId: 'dev',
      tokenFile: '/mnt/secret',
      door: 'unix:/mnt/door/agents.sock',
      stateDir: '/mnt/state',
      vmGeneration: 7,
      home: harness.home,
      allowSudo: true,
    });
    expect(await sh('cat /mnt/secret')).to.equal('secret-of-dev');
    for (const file of ['secret', 'config.json']) {
      expect((await stat(join(dir, 'mnt', file))).mode & 0o777).to.equal(0o600);
    }
    await harness.provider.snapshot('dev', 'clean', '', soon());
    expect(await grepSecret(join(dir, 'snapshots'))).to.deep.equal([]);
  });

  it('keeps its secret over a restart', async () => {
    await create();
    await start(true);
    await harness.provider.stop('dev', { force: false }, soon());
    await start(false, 2);
    expect(await sh('cat /mnt/secret')).to.equal('secret-of-dev');
    await harness.provider.stop('dev', { force: true }, soon());
    await truncate(join(dir, 'mnt', 'secret'));
    expect(await reasonOf(start())).to.equal('VM_FAILED');
  });

  it('reaches the door through a directory that it cannot write', async () => {
    const door = await listenOn(join(harness.doorDir, 'agents.sock'));
    try {
      await create();
      await start(true);
      const script =
        "require('net').connect('/mnt/door/agents.sock').on('data', (d) => console.log(String(d)))";
      expect(await sh(`node -e "${script}"`)).to.equal('welcome');
      expect((await harness.exec('dev', 'touch /mnt/door/x')).code).to.not.equal(0);
    } finally {
      door.close();
    }
  });

  it('sees neither the files of the home nor those of other machines', async () => {
    await writeFile(join(harness.home, 'diary'), 'dear diary');
    await create();
    await start(true);
    expect(await sh('ls -A ~')).to.equal('');
    expect((await harness.exec('dev', `ls ${harness.machinesDir}`)).code).to.not.equal(0);
    await sh('echo mine > ~/diary; mkdir /opt/repo; echo mine > /opt/repo/file');
    expect(await readFile(join(harness.home, 'diary'), 'utf8')).to.equal('dear diary');
    expect(existsSync('/opt/repo/file')).to.equal(false);
    expect(await readFile(join(dir, 'root', 'opt', 'repo', 'file'), 'utf8')).to.equal('mine\n');
  });

  it('leaves no process of a task when it stops, whatever the task did', async () => {
    await create();
    await start(true);
    await sh(
      'trap "" TERM; setsid sh -c "setsid sleep 1000 & setsid sleep 1001 &" > /dev/null 2>&1; echo ok',
    );
    const rows = await tree();
    expect(rows.length).to.be.greaterThan(3);
    await harness.provider.stop('dev', { force: false }, soon());
    const left = new Set((await listProcesses()).map((row) => `${row.pid} ${row.startTicks}`));
    expect(rows.filter((row) => left.has(`${row.pid} ${row.startTicks}`))).to.deep.equal([]);
  });

  it('collects orphans', async () => {
    await create();
    await start(true);
    await sh('for i in 1 2 3 4 5; do (sh -c true &) ; done');
    await eventually(async () => expect(await sh('ps -eo stat= | grep -c Z')).to.equal('0'));
  });

  it('starts its agent again when that dies, and leaves alone what the agent started', async () => {
    await create();
    await start(true);
    await sh('setsid sh -c "while :; do sleep 0.05; echo x >> ~/alive; done" > /dev/null 2>&1 &');
    const before = await agents();
    for (const pid of before) signalProcess(pid, 'SIGKILL');
    await eventually(async () =>
      expect(await agents())
        .to.have.lengthOf(1)
        .and.not.deep.equal(before),
    );
    const lines = Number(await sh('wc -l < ~/alive'));
    await eventually(async () => expect(Number(await sh('wc -l < ~/alive'))).to.be.greaterThan(lines));
    expect(await harness.provider.inspect('dev', soon())).to.equal('running');
  });

  it('stops when its agent ends by itself', async () => {
    await create();
    await start(true);
    await sh('true');
    for (const pid of await agents()) signalProcess(pid, 'SIGTERM');
    await eventually(async () => expect(await harness.provider.inspect('dev', soon())).to.equal('stopped'));
  });

  it('stops when its agent cannot be started', async () => {
    await writeFile(join(harness.dir, 'bundle', 'agent.mjs'), 'process.exit(1);');
    await create();
    await start(true).catch(() => {});
    await eventually(async () => expect(await harness.provider.inspect('dev', soon())).to.equal('stopped'));
  });

  it('never takes another process for its own', async () => {
    await create();
    const boot = (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
    await writeFile(join(dir, 'process'), `${process.pid} 1 ${boot}\n`);
    expect(await harness.provider.inspect('dev', soon())).to.equal('stopped');
    await harness.provider.stop('dev', { force: true }, soon());
    await start(true);
    expect(await sh('echo mine')).to.equal('mine');
  });

  it('is not started a second time by a launcher that comes late', async () => {
    await create();
    await start(true);
    const before = await readFile(join(dir, 'process'), 'utf8');
    const late = await run('sh', ['-c', LAUNCH_SCRIPT, 'late', join(dir, 'process'), 'echo', 'started']);
    expect(late).to.include({ stdout: '' });
    expect(late.code).to.not.equal(0);
    expect(await readFile(join(dir, 'process'), 'utf8')).to.equal(before);
  });

  it('goes on when a hub that died had frozen it', async () => {
    await create();
    await start(true);
    await sh('true');
    await writeFile(join(dir, 'frozen'), '');
    for (const row of await tree()) signalProcess(row.pid, 'SIGSTOP');
    expect(await harness.again().inspect('dev', soon())).to.equal('running');
    expect(await sh('echo alive')).to.equal('alive');
    expect(existsSync(join(dir, 'frozen'))).to.equal(false);
  });

  it('leaves tasks frozen that were frozen before a snapshot', async () => {
    await create();
    await start(true);
    const stopped = "sh -c 'kill -STOP $$; sleep 1000' > /dev/null 2>&1 &";
    const pid = await sh(`${stopped} until ps -o stat= -p $! | grep -q T; do :; done; echo $!`);
    await harness.provider.snapshot('dev', 'clean', '', soon());
    expect(await sh(`ps -o stat= -p ${pid}`)).to.match(/^T/);
    expect(await sh('echo the rest goes on')).to.equal('the rest goes on');
  });

  it('completes or undoes a restore that was interrupted', async () => {
    await create();
    await writeFile(join(dir, 'root', 'home', 'file'), 'old');
    await harness.provider.snapshot('dev', 'clean', '', soon());
    await rename(join(dir, 'root'), join(dir, 'root.old'));
    await mkdir(join(dir, 'root.partial'));
    await mkdir(join(dir, 'snapshots', 'half.partial'));
    await start(true);
    expect(await sh('cat ~/file')).to.equal('old');
    expect((await readdir(dir)).filter((name) => name.startsWith('root'))).to.deep.equal(['root']);
    expect(await readdir(join(dir, 'snapshots'))).to.deep.equal(['clean']);
  });

  it('keeps its console small', async () => {
    await create();
    await start(true);
    await sh('head -c 3000000 /dev/zero | tr "\\0" "x" > /proc/$PPID/fd/1');
    const size = async (name: string) =>
      (await stat(join(dir, 'mnt', name)).catch(() => undefined))?.size ?? 0;
    await eventually(async () => expect(await size('console.old')).to.be.greaterThan(1_000_000));
    expect(await size('console.log')).to.be.lessThan(1_200_000);
    expect(await size('console.old')).to.be.lessThan(1_200_000);
  });

  it('says why it did not start', async () => {
    await create();
    const provider = harness.again();
    await writeFile(join(dir, 'mnt', 'door'), 'a file where a directory must be');
    const err = HubError.from(
      await provider.start('dev', harness.boot('dev', 1, true), noReport, soon()).catch((e: unknown) => e),
    );
    expect(err.reason).to.equal('VM_FAILED');
    expect(err.message).to.contain('mnt/door');
    expect(await provider.inspect('dev', soon())).to.equal('stopped');
  });

  it('is not made in a directory of somebody else, nor destroyed there', async () => {
    await harness.addForeign('dev');
    expect(await reasonOf(create())).to.equal('VM_FAILED');
    expect(await reasonOf(harness.provider.destroy('dev', soon()))).to.equal('VM_FAILED');
    expect(existsSync(join(dir, 'something'))).to.equal(true);
    await rm(dir, { recursive: true });
  });

  it('is destroyed when half made', async () => {
    await mkdir(dir);
    await writeFile(join(dir, 'local-machine.json.partial'), '{');
    await harness.provider.destroy('dev', soon());
    expect(existsSync(dir)).to.equal(false);
  });

  it('has no image', async () => {
    expect(await reasonOf(create('dev', 'ubuntu'))).to.equal('INVALID_FIELD');
  });
});

function listenOn(path: string): Promise<Server> {
  return new Promise((resolve) => {
    const server = createServer((socket) => void socket.end('welcome')).listen(path, () => resolve(server));
  });
}

async function grepSecret(dir: string): Promise<readonly string[]> {
  const entries = await readdir(dir, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  const texts = await Promise.all(files.map((file) => readFile(file, 'utf8')));
  return files.filter((_, i) => texts[i]?.includes('secret-of-dev'));
}

/** Repeats a check until it holds, at most 10 s. */
async function eventually(check: () => Promise<unknown>): Promise<void> {
  const end = systemClock.monotonic() + 10_000;
  for (;;) {
    try {
      await check();
      return;
    } catch (err) {
      if (systemClock.monotonic() > end) throw err;
      await systemClock.sleep(20);
    }
  }
}

async function reasonOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => 'it was not refused',
    (err: unknown) => HubError.from(err).reason,
  );
}
