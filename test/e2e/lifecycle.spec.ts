import { expect } from 'chai';
import { startCommand } from '../support/e2e/command.js';
import { CLI, HubProcess } from '../support/e2e/hub-process.js';
import { list } from '../support/e2e/json-path.js';

describe('the life of an agent, by the CLI', function () {
  this.timeout(120_000);
  let hub: HubProcess;

  before(async () => {
    hub = await HubProcess.start();
  });
  after(() => hub?.close());

  it('says that there are no agents yet', async () => {
    const result = await hub.ok(['list']);
    expect(result.stdout + result.stderr).to.match(/no agents/i);
  });

  it('creates one, stage by stage, with nothing but its name on standard output', async () => {
    const flags = ['--provider', 'local', '--type', 'builder', '--capabilities', 'build,docker'];
    const result = await hub.ok(['create', 'dev', ...flags]);
    expect(result.stdout).to.equal('dev\n');
    for (const stage of ['disk', 'boot', 'agent']) expect(result.stderr).to.include(stage);
    expect(result.stderr).to.match(/\d s|\d+ms|\d\.\ds/);
  });

  it('refuses a second one of the same name', async () => {
    const result = await hub.cli(['create', 'dev']);
    expect(result.exitCode).to.equal(1);
    expect(result.stderr).to.match(/dev.*(exists|there)/i);
    expect(result.stdout).to.equal('');
  });

  it('lists it, by status, type and capability', async () => {
    const all = await hub.ok(['list']);
    expect(all.stdout)
      .to.match(/^Name +Status +Type/im)
      .and.to.match(/^dev +online +builder/im);
    for (const filter of [
      ['--status', 'online'],
      ['--type', 'builder'],
      ['--capability', 'docker'],
    ]) {
      expect((await hub.ok(['list', ...filter])).stdout).to.include('dev');
    }
    for (const filter of [
      ['--status', 'offline'],
      ['--type', 'tester'],
      ['--capability', 'gpu'],
    ]) {
      expect((await hub.ok(['list', ...filter])).stdout).not.to.include('dev');
    }
  });

  it('shows its status with its isolation and what is not enforced', async () => {
    const { stdout } = await hub.ok(['status', 'dev']);
    expect(stdout)
      .to.match(/dev/)
      .and.to.match(/online/i)
      .and.to.match(/builder/);
    expect(stdout)
      .to.match(/local/)
      .and.to.match(/not enforced/i)
      .and.to.match(/security boundary/i);
  });

  it('says for an unknown agent that it is unknown', async () => {
    const result = await hub.cli(['status', 'nobody']);
    expect(result.exitCode).to.equal(3);
    expect(result.stderr).to.include('nobody');
    expect(result.stdout).to.equal('');
  });

  describe('exec', () => {
    const cases: readonly (readonly [name: string, args: readonly string[], code: number, out: string])[] = [
      ['passes the exit code on', ['dev', '--', 'sh', '-c', 'exit 7'], 7, ''],
      ['runs a line by the shell', ['dev', 'echo one; echo two | cat'], 0, 'one\ntwo\n'],
      [
        'takes options of the command as they are',
        ['dev', 'printf', '%s|', '-la', '--sudo'],
        0,
        '-la|--sudo|',
      ],
      [
        'keeps arguments apart',
        ['dev', '--', 'printf', '%s|', 'a b', "it's", '$HOME', '*'],
        0,
        "a b|it's|$HOME|*|",
      ],
      ['ends with 127 for a missing program', ['dev', '--', 'no-such-program'], 127, ''],
      ['ends with 126 for what cannot run', ['dev', '--', '/etc'], 126, ''],
      ['ends with 128 + n for a signal', ['dev', '--', 'sh', '-c', 'kill -9 $$'], 137, ''],
      ['ends with 125 when the hub refuses', ['nobody', '--', 'true'], 125, ''],
    ];
    for (const [name, args, code, out] of cases) {
      it(name, async () => {
        const result = await hub.cli(['exec', ...args]);
        expect(result.exitCode, result.stderr).to.equal(code);
        expect(result.stdout).to.equal(out);
      });
    }

    it('keeps the streams apart', async () => {
      const result = await hub.cli(['exec', 'dev', 'echo out; echo err >&2']);
      expect(result.stdout).to.equal('out\n');
      expect(result.stderr).to.equal('err\n');
    });

    it('shows output as it comes', async () => {
      const running = hub.startCli(['exec', 'dev', 'echo first; sleep 600']);
      await running.printed(/first/);
      running.child.kill('SIGINT');
      await running.ended();
    });

    it('cancels the task by Ctrl-C', async () => {
      const running = hub.startCli(['exec', 'dev', 'echo started; exec sleep 600']);
      await running.printed(/started/);
      running.child.kill('SIGINT');
      const result = await running.ended(15_000);
      expect(result.exitCode).to.equal(130);
      const tasks = await hub.rest('GET', '/agents/dev/tasks?pageSize=1');
      expect(tasks.at('tasks.0.state')).to.equal('CANCELLED');
    });

    it('works beside a task of the default lane', async () => {
      const posted = await hub.rest('POST', '/agents/dev/task', { type: 'exec', command: 'sleep 600' });
      expect((await hub.ok(['exec', 'dev', 'echo beside'])).stdout).to.equal('beside\n');
      await hub.rest('POST', `/tasks/${posted.at('taskId')}:cancel`, { force: true });
    });
  });

  describe('task', () => {
    it('answers at once, or waits with --wait', async () => {
      const posted = await hub.ok(['task', 'dev', '{"type":"exec","command":"echo done"}']);
      expect(posted.stdout.trim()).to.match(/[0-9a-f-]{36}/);
      const waited = await hub.ok(['task', 'dev', '{"type":"exec","command":"echo done"}', '--wait']);
      expect(waited.stdout).to.match(/done/);
    });

    it('runs on the agent that has what --requires asks', async () => {
      const result = await hub.ok([
        'task',
        '--requires',
        'docker',
        '{"type":"exec","command":"echo here"}',
        '--wait',
      ]);
      expect(result.stdout + result.stderr).to.match(/here/);
    });
  });

  describe('logs', () => {
    it('shows the last lines', async () => {
      await hub.ok(['exec', 'dev', 'seq 1 200']);
      const result = await hub.ok(['logs', 'dev', '--lines', '3']);
      expect(result.stdout.trim().split('\n')).to.have.length(3);
      expect(result.stdout).to.match(/198[\s\S]*199[\s\S]*200/);
    });

    it('follows what comes', async () => {
      const follower = hub.startCli(['logs', 'dev', '--follow', '--lines', '0']);
      for (let n = 0; !follower.stdout.includes('news'); n++) {
        expect(n, 'rounds without news').to.be.below(50);
        await hub.ok(['exec', 'dev', 'echo news']);
      }
      follower.child.kill('SIGINT');
      expect((await follower.ended(10_000)).exitCode).to.be.oneOf([0, 130]);
    });
  });

  describe('its machine', () => {
    it('opens a shell in a terminal and returns its exit code', async () => {
      const line = `${CLI} shell dev`;
      const options = { env: { ...hub.env, TERM: 'xterm' }, input: 'tty; echo typed-$((6 * 7)); exit 5\n' };
      const session = startCommand(
        'script',
        ['--quiet', '--return', '--command', line, '/dev/null'],
        options,
      );
      const result = await session.ended(30_000);
      expect(result.stdout)
        .to.match(/typed-42/)
        .and.to.match(/\/dev\/pts\//);
      expect(result.exitCode).to.equal(5);
    });

    it('takes a snapshot and brings a deleted file back', async () => {
      const places = ['$HOME', '/opt', '/srv', '/tmp'];
      const files = places.map((place) => `${place}/kept`).join(' ');
      await hub.ok(['exec', 'dev', `for file in ${files}; do echo safe > $file; done`]);
      await hub.ok(['snapshot', 'dev', 'clean']);
      const snapshots = await hub.rest('GET', '/agents/dev/snapshots');
      expect(snapshots.at('snapshots.0.name')).to.equal('clean');
      await hub.ok(['exec', 'dev', `rm ${files}; echo later > /opt/later`]);
      await hub.ok(['restore', 'dev', 'clean']);
      const read = await hub.ok(['exec', 'dev', `cat ${files}; ls /opt`]);
      expect(read.stdout).to.equal('safe\n'.repeat(4).concat('kept\n'));
    });

    it('names the snapshots that there are when another is asked for', async () => {
      const result = await hub.cli(['restore', 'dev', 'unknown']);
      expect(result.exitCode).to.equal(3);
      expect(result.stderr).to.include('clean');
    });

    it('stops and starts it; its files stay', async () => {
      await hub.ok(['stop', 'dev']);
      expect((await hub.ok(['list', '--status', 'offline'])).stdout).to.include('dev');
      const refused = await hub.cli(['shell', 'dev']);
      expect(refused.exitCode).not.to.equal(0);
      expect(refused.stderr).to.match(/offline|not connected|stopped/i);
      await hub.ok(['start', 'dev']);
      expect((await hub.ok(['exec', 'dev', 'cat /opt/kept'])).stdout).to.equal('safe\n');
    });

    it('is destroyed only with --force where nobody can be asked', async () => {
      const refused = await hub.cli(['destroy', 'dev']);
      expect(refused.exitCode).to.equal(2);
      expect(refused.stderr).to.include('--force');
      await hub.ok(['destroy', 'dev', '--force']);
      expect(list((await hub.rest('GET', '/agents')).json, 'agents')).to.deep.equal([]);
    });
  });
});

describe('the hub as a program', () => {
  it('ends by SIGTERM with 0 and writes its log files', async () => {
    const hub = await HubProcess.start();
    try {
      const result = await hub.stop();
      expect(result.exitCode, result.stderr).to.equal(0);
      await hub.startAgain();
      for (const name of ['hub-stdout.log', 'hub-stderr.log']) {
        expect(await hub.logFile(name)).to.be.a('string');
      }
      expect(await hub.logFile('hub-stdout.log')).to.match(/REST +http/);
    } finally {
      await hub.close();
    }
  });
});
