import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { HubProcess } from '../support/e2e/hub-process.js';
import { at, list } from '../support/e2e/json-path.js';

describe('profiles and the life of machines, by the built program', function () {
  this.timeout(120_000);
  let hub: HubProcess;

  before(async () => {
    hub = await HubProcess.start();
  });
  after(() => hub?.close());

  async function profile(name: string, content: object): Promise<void> {
    await mkdir(join(hub.home, 'profiles'), { recursive: true });
    await writeFile(join(hub.home, 'profiles', `${name}.json`), JSON.stringify({ name, ...content }));
  }
  const vm = async (name: string) => (await hub.rest('GET', `/agents/${name}/vm`)).at('vm');
  async function until(what: string, isSo: () => Promise<boolean>): Promise<void> {
    for (const deadline = Date.now() + 30_000; !(await isSo()); await sleep(100)) {
      if (Date.now() > deadline) throw new Error(`not within 30 s: ${what}`);
    }
  }
  const stopped = (name: string) =>
    until(`${name} is stopped`, async () => at(await vm(name), 'state') === 'STOPPED');

  describe('a profile', () => {
    it('furnishes a machine: resources, files, environment, setup, told as stages', async () => {
      await profile('full', {
        resources: { cpu: 3, memory: '1G', disk: '5G' },
        environment: { GREETING: 'hello world' },
        files: [
          { path: '~/conf/a.txt', content: 'in the home\n' },
          { path: '/opt/b.txt', content: 'in opt\n' },
        ],
        setup_tasks: [{ type: 'exec', command: 'echo "$GREETING" > /opt/greeting', description: 'greet' }],
      });
      const { stdout, stderr } = await hub.ok(['create', 'furnished', '--profile', 'full', '--memory', '2G']);
      expect(stdout).to.equal('furnished\n');
      expect(stderr)
        .to.match(/files 2 done/)
        .and.to.match(/setup 1 done/);
      expect(at(await vm('furnished'), 'resources')).to.deep.equal({ cpu: 3, memory: '2G', disk: '5G' });
      const line = 'cat ~/conf/a.txt /opt/b.txt /opt/greeting; echo $GREETING';
      expect((await hub.ok(['exec', 'furnished', line])).stdout).to.equal(
        'in the home\nin opt\nhello world\nhello world\n',
      );
      const own = await hub.ok(['exec', '-e', 'GREETING=mine', 'furnished', 'echo $GREETING']);
      expect(own.stdout).to.equal('mine\n');
      expect((await hub.ok(['status', 'furnished'])).stdout).to.match(/Profile: +full/);
    });

    it('that fails fails the create with the step and its last words, and the machine stays', async () => {
      const setup_tasks = [
        { command: 'echo fine' },
        { command: 'echo oops >&2; exit 7', description: 'the bad one' },
      ];
      await profile('bad', { setup_tasks });
      const result = await hub.cli(['create', 'unlucky', '--profile', 'bad']);
      expect([result.exitCode, result.stdout]).to.deep.equal([1, '']);
      expect(result.stderr).to.match(/setup, the bad one: exit code 7; its last output:\noops/);
      expect(result.stderr).to.match(/hint: .*vm-agent destroy unlucky/);
      const status = await hub.rest('GET', '/agents/unlucky/status');
      expect([status.at('agent.state'), status.at('agent.stateReason')]).to.deep.equal([
        'FAILED',
        'PROFILE_FAILED',
      ]);
      expect((await hub.ok(['exec', 'unlucky', 'echo still here'])).stdout).to.equal('still here\n');
      await hub.ok(['destroy', 'unlucky', '--force']);
    });

    for (const how of ['dies', 'stops'] as const) {
      it(`is completed by the next hub when the first one ${how} over it`, async () => {
        const name = `survivor-${how}`;
        const command = 'echo once >> /opt/count; until [ -e /opt/go ]; do sleep 0.1; done';
        await profile('long', { setup_tasks: [{ command }, { command: 'echo two >> /opt/count' }] });
        const creating = hub.startCli(['create', name, '--profile', 'long']);
        await creating.printed(/agent the agent is connected/);
        await until('the setup runs', async () => {
          const tasks = await hub.rest('GET', `/agents/${name}/tasks`);
          return list(tasks.json, 'tasks').some((task) => at(task, 'state') === 'RUNNING');
        });
        if (how === 'dies') await hub.crash();
        else await hub.stop();
        await creating.ended();
        await hub.startAgain();
        expect((await hub.rest('GET', `/agents/${name}/status`)).at('agent.state')).to.equal('CREATING');
        await hub.ok(['exec', name, 'touch /opt/go']);
        await until('it is furnished', async () => {
          const status = await hub.rest('GET', `/agents/${name}/status`);
          return status.at('agent.state') === 'ONLINE';
        });
        expect((await hub.ok(['exec', name, 'cat /opt/count'])).stdout).to.equal('once\ntwo\n');
      });
    }
  });

  describe('a ttl', () => {
    it('destroys the machine and its agent, and events tell it', async () => {
      await hub.ok(['create', 'short', '--ttl', '2s', '--on-expire', 'destroy']);
      await until('it is gone', async () => (await hub.rest('GET', '/agents/short/status')).status === 404);
    });

    it('waits for a running task, then takes a snapshot and stops the machine', async () => {
      await hub.ok(['create', 'kept', '--ttl', '4s', '--on-expire', 'snapshot']);
      expect(
        (await hub.ok(['exec', 'kept', 'echo precious > /opt/file; sleep 6; echo done'])).stdout,
      ).to.equal('done\n');
      await stopped('kept');
      const snapshots = await hub.rest('GET', '/agents/kept/snapshots');
      expect(snapshots.at('snapshots.0.kind')).to.equal('disk');
      expect(String(snapshots.at('snapshots.0.name'))).to.match(/^expired-/);
      await hub.ok(['start', 'kept']);
      expect((await hub.ok(['exec', 'kept', 'cat /opt/file'])).stdout).to.equal('precious\n');
    });

    it('goes on counting after a restart of the hub, and is held off by a keep-alive', async () => {
      await hub.ok(['create', 'patient', '--ttl', '20s']);
      const { stderr } = await hub.ok(['keep-alive', 'patient', '--for', '1h']);
      expect(stderr).to.match(/Kept until: in (59m|1h)/);
      await hub.crash();
      await hub.startAgain();
      const life = at(await vm('patient'), 'life');
      expect(Date.parse(String(at(life, 'keepUntilTime'))) - Date.now()).to.be.greaterThan(3_500_000);
      expect(at(life, 'ttl')).to.equal('20s');
    });
  });

  it('an idle stop counts an open shell as activity', async () => {
    await hub.ok(['create', 'quiet', '--idle-stop', '2s']);
    const shell = await hub.cli(['shell', 'quiet'], { input: 'sleep 5; exit 3\n' });
    expect(shell.exitCode, shell.stderr).to.equal(3);
    await stopped('quiet');
  });

  it('bad wishes name their field, at every door', async () => {
    const cases: readonly (readonly [string[], object, string])[] = [
      [['--network', 'moon'], { network: 'moon' }, 'network'],
      [
        ['--network', 'isolated', '--provider', 'local'],
        { network: 'isolated', provider: 'local' },
        'network',
      ],
      [['--profile', 'nope'], { profile: 'nope' }, 'profile'],
      [['--ttl', '0s'], { ttl: '0s' }, 'ttl'],
      [['--ttl', '1h', '--on-expire', 'explode'], { ttl: '3600s', onExpire: 'explode' }, 'onExpire'],
      [['--idle-stop', '0'], { idleStop: '0s' }, 'idleStop'],
      [['--memory', '2x'], { memory: '2x' }, 'memory'],
    ];
    for (const [flags, body, field] of cases) {
      const byCli = await hub.cli(['create', 'never', ...flags]);
      expect([byCli.exitCode, byCli.stdout], byCli.stderr).to.deep.equal([2, '']);
      expect(byCli.stderr).to.contain(`${field}: `);
      const byRest = await hub.rest('POST', '/agents', { name: 'never', ...body });
      expect([byRest.status, byRest.at('details.1.fieldViolations.0.field')], field).to.deep.equal([
        400,
        field,
      ]);
    }
    for (const name of ['-snapshot', 'a,file=/etc/shadow']) {
      expect((await hub.cli(['create', '--', name])).exitCode, name).to.equal(2);
      expect((await hub.rest('POST', '/agents', { name })).at('details.1.fieldViolations.0.field')).to.equal(
        'name',
      );
    }
    expect((await hub.rest('GET', '/agents/never/status')).status).to.equal(404);
  });

  it('the console and new resources are there by REST', async () => {
    await hub.ok(['create', 'plain']);
    expect(String((await hub.rest('GET', '/agents/plain/console?lines=1')).at('text'))).to.match(
      /^[^\n]*\n?$/,
    );
    const resized = await hub.rest('POST', '/agents/plain/vm:resize', { memory: '3G' });
    expect([resized.at('vm.resources.memory'), resized.at('restartNeeded')]).to.deep.equal(['3G', false]);
    const kept = await hub.rest('POST', '/agents/plain/vm:keepAlive', {});
    expect([kept.status, kept.at('details.0.reason')]).to.deep.equal([400, 'ILLEGAL_STATE']);
    const names = list((await hub.rest('GET', '/profiles')).json, 'profiles').map((one) => at(one, 'name'));
    expect(names).to.include.members(['builder', 'tester', 'deployer', 'researcher', 'docker-host']);
  });
});
