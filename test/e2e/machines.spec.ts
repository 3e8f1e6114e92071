import { cp, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { runCommand } from '../support/e2e/command.js';
import { type HubProcess, ROOT } from '../support/e2e/hub-process.js';
import { at } from '../support/e2e/json-path.js';
import {
  BEFORE_MS,
  BOOT_MS,
  fitting,
  type HostMachine,
  hostMachine,
  leftOf,
  post,
  putFile,
  startMachineHub,
} from '../support/e2e/machine-hub.js';

const PROJECT = join(ROOT, 'demo', 'project');

/** A git repository of one commit with the files of a directory, as one file: guests reach no git server of the host. */
async function bundleOf(directory: string): Promise<Buffer> {
  const work = await mkdtemp(join(tmpdir(), 'vm-agent-bundle-'));
  const script = `cp -R "$1/." work && cd work && git init --quiet --initial-branch=main && git add . &&
    git -c user.name=t -c user.email=t@localhost commit --quiet -m project && git bundle create --quiet ../bundle HEAD main`;
  try {
    const made = await runCommand('sh', ['-ec', script, 'sh', directory], { cwd: work });
    expect(made.exitCode, made.stderr).to.equal(0);
    return await readFile(join(work, 'bundle'));
  } finally {
    await rm(work, { recursive: true });
  }
}

/** The page of the project, built on this computer. */
async function builtHere(directory: string): Promise<string> {
  const work = await mkdtemp(join(tmpdir(), 'vm-agent-built-'));
  try {
    await cp(directory, work, { recursive: true });
    const built = await runCommand('node', ['scripts/build.js'], { cwd: work });
    expect(built.exitCode, built.stderr).to.equal(0);
    return await readFile(join(work, 'dist', 'index.html'), 'utf8');
  } finally {
    await rm(work, { recursive: true });
  }
}

const SLOW = { timeoutMs: BOOT_MS };

describe('the use cases of the seed document in virtual machines', function () {
  this.timeout(BOOT_MS * 2);
  let hub: HubProcess;
  const machines = new Map<string, HostMachine>();

  before(async function () {
    this.timeout(BEFORE_MS);
    const started = await startMachineHub();
    if (started === undefined) this.skip();
    hub = started;
  });
  after(() => hub?.close());

  async function create(name: string, ...options: string[]): Promise<void> {
    await hub.ok(['create', name, ...options], SLOW);
    machines.set(name, await hostMachine(hub, name));
  }
  const exec = async (name: string, command: string, ...options: string[]) =>
    (await hub.ok(['exec', name, command, ...options], SLOW)).stdout;
  /** Destroys machines, as the document does, and looks for what is left of them. */
  async function destroy(...names: string[]): Promise<void> {
    await Promise.all(names.map((name) => hub.ok(['destroy', name, '--force'], SLOW)));
    const gone = names.flatMap((name) => machines.get(name) ?? []);
    expect(gone).to.have.length(names.length);
    expect(await leftOf(hub, gone)).to.deep.equal([]);
  }

  it('1: a builder clones, builds and hands out what it built', async () => {
    const size = fitting({ cpu: 4, memory: 8 });
    const more = ['--disk', '40G', '--capabilities', 'build,docker,deploy'];
    await create('builder', '--type', 'builder', ...size, ...more);
    const own = await exec('builder', 'hostname; sudo id -un; systemctl is-active vm-agent');
    expect(own).to.equal('builder\nroot\nactive\n');
    const status = (await hub.ok(['status', 'builder'])).stdout;
    expect(status, 'the default where there is an image').to.match(/Provider: +qemu/);
    expect(status).to.match(/a security boundary/);
    expect(status).to.match(/Acceleration: +(kvm|hvf|tcg \(slow: .+\))/);
    expect(status).to.match(/Network: +(internet|isolated)/);
    await putFile(hub, 'builder', '/opt/repo.bundle', await bundleOf(PROJECT));
    await exec('builder', 'git clone /opt/repo.bundle /opt/repo');
    await exec('builder', 'cd /opt/repo && npm install && npm run build');
    expect(await exec('builder', 'cat /opt/repo/dist/index.html')).to.equal(await builtHere(PROJECT));
    const facts = await exec('builder', 'id -un; nproc; uname -s; df --output=size -BG / | tail -n 1');
    const [user, cpus, system, disk] = facts.trim().split(/\s+/);
    expect([user, cpus, system]).to.deep.equal(['agent', size[1], 'Linux']);
    expect(Number.parseInt(disk ?? '', 10)).to.be.within(38, 40);
    await destroy('builder');
  });

  it('2: three testers run their share of the tests at once', async () => {
    const names = ['test-1', 'test-2', 'test-3'];
    const bundle = await bundleOf(join(ROOT, 'test', 'fixtures', 'seed', 'project'));
    const size = fitting({ cpu: 2, memory: 4 }, names.length);
    await Promise.all(names.map((name) => create(name, '--type', 'tester', ...size)));
    await Promise.all(
      names.map(async (name) => {
        await putFile(hub, name, '/opt/tests.bundle', bundle);
        await exec(name, 'git clone /opt/tests.bundle /opt/tests');
      }),
    );
    const outputs = await Promise.all(
      names.map((name, i) => exec(name, `cd /opt/tests && npm test -- --shard=${i + 1}/3`)),
    );
    for (const [i, output] of outputs.entries()) expect(output).to.include(`shard ${i + 1}/3`);
    const users = names.map((name) => machines.get(name)).map((machine) => machine?.uid ?? machine?.uuid);
    expect(new Set(users).size).to.equal(3);
    await destroy(...names);
  });

  it('3 and 4: a long job is followed while a researcher gets its tools, and both are destroyed', async () => {
    const size = fitting({ cpu: 2, memory: 4 }, 2);
    await Promise.all([
      create('job-runner', '--type', 'worker', ...size),
      create('researcher', '--type', 'researcher', ...size),
    ]);
    await longJob();
    await research();
    await shell();
    await destroy('researcher', 'job-runner');
  });

  async function longJob(): Promise<void> {
    const program = `import time\nfor epoch in range(5):\n  print('epoch', epoch, flush=True)\n  time.sleep(1)\n`;
    await putFile(hub, 'job-runner', '/opt/ml/train_model.py', Buffer.from(program));
    const follower = hub.startCli(['logs', 'job-runner', '--follow']);
    try {
      const body = { type: 'exec', command: 'python train_model.py', cwd: '/opt/ml', timeout: 7_200_000 };
      const id = await post(hub, 'job-runner', body);
      await follower.printed(/epoch 0/, BOOT_MS);
      expect((await hub.rest('GET', `/tasks/${id}`)).at('task.state'), 'followed while it runs').to.equal(
        'RUNNING',
      );
      expect(at(await hub.ended(id), 'state')).to.equal('SUCCEEDED');
      await follower.printed(/epoch 4/);
      expect(follower.stdout.match(/epoch \d/g)).to.deep.equal([0, 1, 2, 3, 4].map((n) => `epoch ${n}`));
    } finally {
      follower.child.kill('SIGINT');
      await follower.ended();
    }
  }

  async function research(): Promise<void> {
    if (!(await mirrorAnswers())) {
      console.log('SKIPPED: packages in a virtual machine: its mirror does not answer this computer either');
      return;
    }
    // A tiny package beside the documented one, which the image has.
    await exec('researcher', 'apt update && apt install -y python3-pip tree', '--sudo');
    await exec('researcher', 'pip3 install six');
    const used = await exec('researcher', 'tree --version; python3 -c "import six; print(six.__name__)"');
    expect(used)
      .to.match(/^tree v/)
      .and.match(/^six$/m);
  }

  async function mirrorAnswers(): Promise<boolean> {
    const line = await exec(
      'researcher',
      'cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | grep -m 1 ^deb',
    );
    const [url] = /https?:\S+/.exec(line) ?? [''];
    const signal = AbortSignal.timeout(20_000);
    return fetch(url, { method: 'HEAD', signal }).then(
      () => true,
      () => false,
    );
  }

  async function shell(): Promise<void> {
    const words = ['vm-agent', 'shell', 'researcher'].join(' ');
    const env = { ...hub.env, PATH: `${join(ROOT, 'cli')}:${process.env.PATH}` };
    const terminal = await runCommand('script', ['--quiet', '--return', '--command', words, '/dev/null'], {
      env,
      input: 'tty; echo typed-$((40 + 2)); exit\n',
      timeoutMs: 120_000,
    });
    expect(terminal.exitCode, terminal.stdout).to.equal(0);
    expect(terminal.stdout)
      .to.match(/\/dev\/pts\/\d/)
      .and.to.match(/typed-42/);
  }

  it('and all of it leaves nothing: no agent, file, process, user or mount', async () => {
    expect((await hub.rest('GET', '/agents')).at('agents')).to.deep.equal([]);
    expect(machines.size).to.equal(6);
    expect(await leftOf(hub, [...machines.values()])).to.deep.equal([]);
  });
});
