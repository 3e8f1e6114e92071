import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { Interrupted } from '../../../cli/context.js';
import { AgentInfo } from '../../../gen/vmagent/v1/agent.js';
import { Event } from '../../../gen/vmagent/v1/log.js';
import { Snapshot } from '../../../gen/vmagent/v1/vm.js';
import { type CliRun, cli } from '../../support/cli.js';
import { FakeOperatorHub } from '../../support/fake-operator-hub.js';

describe('vm-agent', () => {
  let hub: FakeOperatorHub;

  beforeEach(async () => {
    hub = await new FakeOperatorHub().start();
  });
  afterEach(() => hub.stop());

  const vmAgent = (args: readonly string[], run: CliRun = {}) =>
    cli(args, { ...run, env: { VM_AGENT_HUB: hub.address, ...run.env } });

  describe('exec', () => {
    it('returns the remote code and keeps the streams apart', async () => {
      hub.onTask = (task) => task.write('STDOUT', 'o\n').write('STDERR', 'e\n').exit(7);
      expect(await vmAgent(['exec', 'dev', 'echo o; exit 7'])).deep.equal({
        code: 7,
        stdout: 'o\n',
        stderr: 'e\n',
      });
    });

    it('sends every option', async () => {
      await vmAgent([
        'exec',
        '--sudo',
        '--timeout',
        '30s',
        '-e',
        'A=1=2',
        '-e',
        'B=',
        '-w',
        '/srv',
        'dev',
        '--',
        'a b',
        '$c',
      ]);
      const [task] = [...hub.tasks.values()];
      expect(task?.request).deep.include({
        agent: 'dev',
        type: 'exec',
        command: '',
        argv: ['a b', '$c'],
        sudo: true,
        timeout: 30_000,
        env: { A: '1=2', B: '' },
        cwd: '/srv',
      });
    });

    it('takes the options of the first system behind a command line', async () => {
      await vmAgent(['exec', 'dev', 'apt update && apt install -y x', '--sudo']);
      const [task] = [...hub.tasks.values()];
      expect(task?.request).include({ command: 'apt update && apt install -y x', sudo: true });
    });

    it('answers 124 for a time-out and 137 for SIGKILL', async () => {
      hub.onTask = (task) => task.end('TIMED_OUT', { reason: 'TIMEOUT' });
      expect((await vmAgent(['exec', 'dev', 'sleep'])).code).equal(124);
      hub.onTask = (task) => task.end('FAILED', { signal: 'SIGKILL' });
      expect((await vmAgent(['exec', 'dev', 'sleep'])).code).equal(137);
    });

    it('answers 125 for failures of ours, on stderr', async () => {
      const unknown = await vmAgent(['exec', 'nobody', 'ls']);
      expect(unknown).deep.equal({ code: 125, stdout: '', stderr: 'error: there is no agent nobody\n' });
      hub.stop();
      expect((await vmAgent(['exec', 'dev', 'ls'])).code).equal(125);
    });

    it('cancels the remote task on Ctrl-C and exits 130', async () => {
      const ctrlC = new AbortController();
      hub.onTask = (task) => {
        task.onCancel = () => task.write('STDOUT', 'bye\n').end('CANCELLED', { reason: 'CANCELLED' });
        task.write('STDOUT', 'hi\n');
      };
      const onStdout = () => ctrlC.abort(new Interrupted(130));
      const result = await vmAgent(['exec', 'dev', 'sleep', '100'], { signal: ctrlC.signal, onStdout });
      expect(result).deep.equal({ code: 130, stdout: 'hi\nbye\n', stderr: '' });
    });

    it('says that an offline agent is waited for', async () => {
      hub.onTask = (task) => {
        task.state = 'QUEUED';
        setImmediate(() => task.exit(0));
      };
      const result = await vmAgent(['exec', 'dev', 'ls']);
      expect(result.code).equal(0);
      expect(result.stderr).contain('dev is offline');
    });
  });

  describe('usage', () => {
    const cases: [string[], RegExp][] = [
      [['lst'], /unknown command 'lst'. Did you mean 'list'\?/],
      [['frobnicate'], /unknown command 'frobnicate'\.\n/],
      [['exec', 'dev'], /usage: vm-agent exec/],
      [['status'], /usage: vm-agent status/],
      [['list', '--bogus'], /--bogus/],
      [['exec', '--timeout', 'soon', 'dev', 'ls'], /--timeout/],
      [['create', 'dev', '--cpu', 'abc'], /--cpu: must be a whole number/],
      [['destroy', 'dev'], /--force/],
      [['tasks', '--state', 'odd'], /--state: must be one of QUEUED/],
      [['create', 'dev', '--ttl', 'soon'], /--ttl: must be a time/],
      [['create', 'dev', '--idle-stop=-5m'], /--idle-stop: must be a time/],
      [['create', 'dev', '--ttl', '400d'], /--ttl: must be a time/],
      [['resize', 'dev'], /at least one of --cpu, --memory and --disk/],
      [['resize', 'dev', '--cpu', 'x'], /--cpu: must be a whole number/],
      [['keep-alive', 'dev', '--for', 'x'], /--for: must be a time/],
      [['logs', 'dev', '--console', '--follow'], /--console: goes with --lines only/],
      [['snapshot', 'dev', 'a', 'b'], /snapshot delete dev b/],
      [['task', 'dev'], /--requires/],
      [['--hub', 'nowhere', 'list'], /hub: must be HOST:PORT/],
    ];
    for (const [args, message] of cases) {
      it(`${args.join(' ')} exits 2 and says why on stderr`, async () => {
        const { code, stdout, stderr } = await vmAgent(args);
        expect(stderr)
          .match(message)
          .and.not.match(/\n\s+at /);
        expect([code, stdout]).deep.equal([2, '']);
        expect(hub.tasks.size).equal(0);
      });
    }

    it('shows help without an error', async () => {
      for (const args of [[], ['help'], ['--help'], ['-h']]) {
        const { code, stdout, stderr } = await vmAgent(args);
        expect([code, stderr]).deep.equal([0, '']);
        expect(stdout.split('\n').length).lessThan(50);
      }
      const [asked, flag] = [await vmAgent(['help', 'exec']), await vmAgent(['exec', '--help'])];
      expect(asked).deep.equal(flag);
      expect((await vmAgent(['help', 'exit-codes'])).stdout).contain('124');
    });
  });

  describe('agents', () => {
    it('lists none and some', async () => {
      expect((await vmAgent(['list'])).stdout).equal('No agents registered\n');
      expect((await vmAgent(['list', '--json'])).stdout).equal('[]\n');
      hub.agents.push(
        AgentInfo.fromPartial({
          id: 'dev',
          status: 'online',
          type: 'builder',
          health: { cpu: 12.4, uptime: 3900, memory: { usagePercent: 6.55 } },
        }),
        AgentInfo.fromPartial({ id: 'off', status: 'offline', type: 'generic' }),
      );
      expect((await vmAgent(['ls'])).stdout).equal(
        'Name  Status   Type     CPU  Memory  Tasks  Uptime\n' +
          'dev   online   builder  12%  6.5%    0      1h 5m\n' +
          'off   offline  generic  N/A  N/A     0      N/A\n\nTotal: 2 agents\n',
      );
    });

    it('shows one, and 3 for none', async () => {
      hub.agents.push(AgentInfo.fromPartial({ id: 'dev', status: 'online', capabilities: ['git'] }));
      const { code, stdout } = await vmAgent(['status', 'dev']);
      expect([code, stdout.split('\n')[0]]).deep.equal([0, '╔═══ Agent Status: dev ═══╗']);
      expect(stdout).contain('Provider:           local').and.contain('git');
      expect((await vmAgent(['status', 'odd'])).code).equal(3);
    });

    it('creates one: stages on stderr, the name alone on stdout', async () => {
      hub.stages = [{ name: 'boot', detail: 'started', durationMs: 1900, error: '' }];
      const { code, stdout, stderr } = await vmAgent([
        'create',
        'dev',
        '--capabilities',
        'a, b',
        '--hub-url',
        'ws://x',
      ]);
      expect([code, stdout]).deep.equal([0, 'dev\n']);
      expect(stderr).contain('--hub-url is ignored').and.contain('create dev: boot started (1.9s)\n');
    });

    it('destroys with --force', async () => {
      expect(await vmAgent(['destroy', 'dev', '--force'])).deep.equal({
        code: 0,
        stdout: '',
        stderr: 'dev is destroyed\n',
      });
      expect(hub.removed).deep.equal(['dev']);
    });

    it('asks on a terminal, and takes no for an answer', async () => {
      const run = { stdinIsTTY: true, stdin: 'n\n' };
      const { code, stderr } = await vmAgent(['destroy', 'dev'], run);
      expect(stderr).contain('Are you sure you want to destroy agent dev? (y/N) ');
      expect([code, hub.removed]).deep.equal([1, []]);
      expect((await vmAgent(['destroy', 'dev'], { ...run, stdin: 'y\n' })).code).equal(0);
      expect(hub.removed).deep.equal(['dev']);
    });

    it('names a snapshot by the time when none is given', async () => {
      expect((await vmAgent(['snapshot', 'dev'])).stdout).match(/^snapshot-\d{13}\n$/);
      expect((await vmAgent(['snapshot', 'dev', 'clean'])).stdout).equal('clean\n');
      expect((await vmAgent(['snapshots', 'dev'])).stdout).contain('clean');
    });
  });

  describe('machines', () => {
    it('are made with a network, a profile and an end', async () => {
      const life = ['--ttl', '2h', '--idle-stop', '30d', '--on-expire', 'destroy'];
      await vmAgent(['create', 'dev', '--network', 'isolated', '--profile', 'builder', ...life]);
      expect(hub.requests[0]).deep.include({
        network: 'isolated',
        profile: 'builder',
        ttl: { seconds: 7200, nanos: 0 },
        idleStop: { seconds: 30 * 86_400, nanos: 0 },
        onExpire: 'destroy',
      });
    });

    it('are resized', async () => {
      const { code, stdout, stderr } = await vmAgent(['resize', 'dev', '--cpu', '4', '--memory', '8G']);
      expect(hub.requests).deep.equal([{ agent: 'dev', cpu: 4, memory: '8G', disk: '' }]);
      expect([code, stdout]).deep.equal([0, '']);
      expect(stderr).contain('4 processors, 8G memory').and.contain('vm-agent restart dev');
      const json = JSON.parse((await vmAgent(['resize', 'dev', '--disk', '40G', '--json'])).stdout);
      expect([json.restartNeeded, json.vm.resources.disk]).deep.equal([true, '40G']);
    });

    it('are kept alive', async () => {
      const { stderr } = await vmAgent(['keep-alive', 'dev', '--for', '2h']);
      expect(hub.requests).deep.equal([{ agent: 'dev', duration: { seconds: 7200, nanos: 0 } }]);
      expect(stderr)
        .match(/Expires: in 1h 59m|Expires: in 2h/)
        .and.contain('then it is destroyed');
      const json = JSON.parse((await vmAgent(['keep-alive', 'dev', '--json'])).stdout);
      expect(json.life.ttl).equal('60s');
      expect(json.life.keepUntilTime).match(/^\d{4}-.*Z$/);
    });

    it('show their console, without what could steer a terminal', async () => {
      expect((await vmAgent(['logs', 'dev', '--console'])).stderr).contain('the console of dev is empty');
      hub.console = 'Booting\u001b[2J\nlogin:';
      expect((await vmAgent(['logs', 'dev', '--console', '-n', '5'])).stdout).equal(
        'Booting\ufffd[2J\nlogin:\n',
      );
      expect(hub.requests.at(-1)).deep.equal({ agent: 'dev', lines: 5 });
      const json = JSON.parse((await vmAgent(['logs', 'dev', '--console', '--json'])).stdout);
      expect(json).deep.equal({ text: hub.console });
    });

    it('lose a snapshot', async () => {
      const { code, stderr } = await vmAgent(['snapshot', 'delete', 'dev', 'clean']);
      expect(hub.requests).deep.equal([{ agent: 'dev', snapshot: 'clean' }]);
      expect([code, stderr]).deep.equal([0, 'dev has no snapshot clean any more\n']);
    });

    it('show their snapshots with kind, age and size', async () => {
      const createTime = { seconds: Math.floor(Date.now() / 1000) - 7_260, nanos: 0 };
      hub.snapshots.push(Snapshot.fromPartial({ name: 'a', live: true, sizeBytes: 2 ** 21, createTime }));
      hub.snapshots.push(Snapshot.fromPartial({ name: 'b', sizeBytes: 10, createTime }));
      const { stdout } = await vmAgent(['snapshots', 'dev']);
      expect(stdout)
        .match(/^Name +Kind +Age +Size/)
        .and.match(/^a +live +2h 1m +2 MiB/m)
        .and.match(/^b +disk +2h 1m +10 B/m);
    });

    it('say how they are made fast, what they reach and use, and when they end', async () => {
      hub.agents.push(AgentInfo.fromPartial({ id: 'dev', status: 'online' }));
      const at = { seconds: Math.floor(Date.now() / 1000) + 3_630, nanos: 0 };
      hub.vm = {
        provider: 'qemu',
        state: 'RUNNING',
        profile: 'builder',
        network: 'internet',
        acceleration: { kind: 'tcg', reason: 'no KVM: guests hang' },
        usage: { cpuSeconds: 12.34, memoryBytes: 512 * 2 ** 20, diskBytes: 1.5 * 2 ** 30 },
        life: { ttl: { seconds: 7200, nanos: 0 }, onExpire: 'snapshot', expireTime: at, problem: 'no room' },
      };
      const { stdout } = await vmAgent(['status', 'dev']);
      for (const line of [
        /Acceleration: +tcg \(slow: no KVM: guests hang\)/,
        /Network: +internet \(what this host reaches, nothing of the host itself\)/,
        /Uses: +12\.3 s of CPU, 512 MiB of memory, 1\.5 GiB on disk/,
        /Expires: +in 1h 0m \(.*Z\), then a snapshot is taken and it is stopped/,
        /Problem: +no room/,
        /Profile: +builder/,
      ]) {
        expect(stdout).match(line);
      }
      const json = JSON.parse((await vmAgent(['status', 'dev', '--json'])).stdout);
      expect(json.vm).deep.include({ network: 'internet', usage: hub.vm.usage });
    });

    it('have their profiles listed', async () => {
      expect((await vmAgent(['profiles'])).stdout).match(/^Name +From/);
      expect((await vmAgent(['profiles', '--json'])).stdout).equal('[]\n');
    });
  });

  it('doctor needs no hub, and answers JSON', async () => {
    const free = ['--grpc', '127.0.0.1:0', '--http', '127.0.0.1:0', '--dashboard', '127.0.0.1:0'];
    const home = await mkdtemp(join(tmpdir(), 'doctor-'));
    try {
      const { code, stdout } = await vmAgent(['doctor', '--home', home, '--json', ...free]);
      const { works, checks } = JSON.parse(stdout);
      expect(code).equal(works ? 0 : 1);
      expect(checks.map((check: { name: string }) => check.name)).include.members([
        'Node.js',
        'provider local',
      ]);
      expect((await vmAgent(['doctor', '--home', home, ...free])).stdout).match(/Node\.js +\d/);
    } finally {
      await rm(home, { recursive: true });
    }
  });

  describe('task', () => {
    it('takes JSON as REST does and answers the id', async () => {
      const json =
        '{"type":"build","timeout":"5000","cwd":null,"comment":"unknown fields are ignored","env":{"A":"b"}}';
      const { code, stdout } = await vmAgent(['task', 'dev', json]);
      const [task] = [...hub.tasks.values()];
      expect([code, stdout]).deep.equal([0, `Task ID: ${task?.id}\n`]);
      expect(task?.request).deep.include({ agent: 'dev', type: 'build', timeout: 5000, env: { A: 'b' } });
    });

    it('waits and exits as the task does', async () => {
      hub.onTask = (task) => task.exit(9);
      const { code, stdout } = await vmAgent(['task', 'dev', '-', '--wait'], { stdin: '{"type":"test"}' });
      expect(code).equal(9);
      expect(JSON.parse(stdout)).include({ state: 'FAILED', exitCode: 9 });
    });

    it('leaves the choice of the agent to the hub', async () => {
      await vmAgent(['task', '--requires', 'docker, gpu', '{"type":"exec","command":"x"}']);
      const [task] = [...hub.tasks.values()];
      expect(task?.request).deep.include({ agent: '', requiredCapabilities: ['docker', 'gpu'] });
    });

    it('refuses what is no JSON or of a wrong type with 2', async () => {
      for (const json of ['x', '[]', '{"type":5}', '{"timeout":"soon"}']) {
        const { code, stderr } = await vmAgent(['task', 'dev', json]);
        expect([json, code]).deep.equal([json, 2]);
        expect(stderr).match(/^error: task: must be a task in JSON/);
      }
    });
  });

  describe('logs', () => {
    it('follows over a restart of the hub, each line once', async () => {
      hub.onTask = (task) => void task.write('STDOUT', 'one');
      await vmAgent(['task', 'dev', '{"type":"exec","command":"x","id":"t"}']);
      const onStdout = (text: string) => {
        if (text !== 'one\n') return;
        void hub.restart().then(() => hub.tasks.get('t')?.write('STDOUT', 'two').exit(0));
      };
      const { code, stdout } = await vmAgent(['logs', 'dev', '--follow', '--task', 't'], { onStdout });
      expect([code, stdout]).deep.equal([0, 'one\ntwo\n']);
    });

    it('ends a follow cleanly on Ctrl-C', async () => {
      hub.onTask = (task) => void task.write('STDOUT', 'one');
      await vmAgent(['task', 'dev', '{"type":"exec","command":"x","id":"t"}']);
      const ctrlC = new AbortController();
      const onStdout = () => ctrlC.abort(new Interrupted(130));
      const result = await vmAgent(['logs', 'dev', '-f'], { onStdout, signal: ctrlC.signal });
      expect(result).deep.equal({ code: 130, stdout: 'one\n', stderr: '' });
    });
  });

  it('shows events as they come', async () => {
    const ctrlC = new AbortController();
    hub.events = [Event.fromPartial({ cursor: '1', type: 'agent.online', agent: 'dev', state: 'ONLINE' })];
    const onStdout = () => ctrlC.abort(new Interrupted(130));
    const { code, stdout } = await vmAgent(['events'], { onStdout, signal: ctrlC.signal });
    expect([code, stdout]).deep.equal([130, 'agent.online  dev  ONLINE\n']);
  });

  it('exits 69 within 3 seconds when the hub is down, with a hint', async () => {
    hub.stop();
    const started = Date.now();
    const { code, stdout, stderr } = await vmAgent(['list']);
    expect([code, stdout]).deep.equal([69, '']);
    expect(stderr).contain(hub.address).and.contain('vm-agent up');
    expect(Date.now() - started).lessThan(3000);
  });

  it('sends the token file to this machine only', async () => {
    const home = await mkdtemp(join(tmpdir(), 'vm-agent-cli-'));
    await writeFile(join(home, 'token'), 'from-file\n', { mode: 0o600 });
    const { port } = new URL(`http://${hub.address}`);
    await vmAgent(['list'], { env: { VM_AGENT_HOME: home } });
    await vmAgent(['list'], { env: { VM_AGENT_HOME: home, VM_AGENT_TOKEN: 'explicit' } });
    await vmAgent(['--hub', `dns:///localhost:${port}`, 'list'], { env: { VM_AGENT_HOME: home } });
    expect(hub.tokens).deep.equal(['Bearer from-file', 'Bearer explicit']);
    await rm(home, { recursive: true });
  });
});
