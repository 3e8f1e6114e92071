import { utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import type { HubProcess } from '../support/e2e/hub-process.js';
import { at, list } from '../support/e2e/json-path.js';
import {
  BEFORE_MS,
  BOOT_MS,
  createMachine,
  filesLeft,
  hostMachine,
  leftOf,
  post,
  SMALL,
  startMachineHub,
  until,
  written,
} from '../support/e2e/machine-hub.js';

const NAMES = ['one', 'two', 'three'];
const LINES = Array.from({ length: 150 }, (_, i) => `line ${i + 1}\n`).join('');
const COUNT = 'i=0; while [ $i -lt 150 ]; do i=$((i+1)); echo line $i; sleep 0.2; done';
const SLOW = { timeoutMs: BOOT_MS };
/** Within this time it is known that a machine is gone, or stands still. */
const NOTICED_MS = 15_000;

describe('virtual machines in which tasks run', function () {
  this.timeout(BOOT_MS * 2);
  let hub: HubProcess;

  before(async function () {
    this.timeout(BEFORE_MS);
    const started = await startMachineHub();
    if (started === undefined) this.skip();
    hub = started;
    await Promise.all(NAMES.map((name) => createMachine(hub, name)));
  });
  after(() => hub?.close());

  const exec = (name: string, command: string) => post(hub, name, { type: 'exec', command });
  const qemu = async (name: string) => (await hostMachine(hub, name)).qemu ?? 0;
  const state = async (name: string) => (await hub.rest('GET', `/agents/${name}/status`)).at('agent.state');
  const says = (id: string, text: string) =>
    until(`${id} writes ${text}`, async () => (await written(hub, id)).includes(text), BOOT_MS);

  it('go on when the hub is killed; the next hub adopts them, and no line is lost or doubled', async () => {
    const tasks = await Promise.all(NAMES.map((name) => exec(name, COUNT)));
    await Promise.all(tasks.map((id) => says(id, 'line 10\n')));
    const before = await Promise.all(NAMES.map(qemu));
    expect(before).to.not.include(0);
    await hub.crash();
    // As long as a hub may be away without anybody noticing.
    await sleep(3_000);
    await hub.startAgain();
    const ends = await Promise.all(tasks.map((id) => hub.ended(id)));
    expect(ends.map((task) => [at(task, 'state'), at(task, 'attempt')])).to.deep.equal(
      NAMES.map(() => ['SUCCEEDED', 1]),
    );
    for (const id of tasks) expect(await written(hub, id)).to.equal(LINES);
    expect(await Promise.all(NAMES.map(qemu))).to.deep.equal(before);
  });

  it('are noticed when their QEMU is killed: their tasks end as LOST within 15 s, and start brings them back', async () => {
    expect(at(await hub.ended(await exec('one', 'echo kept > /opt/kept; sync')), 'state')).to.equal(
      'SUCCEEDED',
    );
    const id = await exec('one', 'echo up; exec sleep 600');
    await says(id, 'up');
    const bystander = await qemu('two');
    process.kill(await qemu('one'), 'SIGKILL');
    const killed = Date.now();
    const lost = await hub.ended(id);
    expect(Date.now() - killed).to.be.below(NOTICED_MS);
    expect([at(lost, 'state'), at(lost, 'outcome.reason')]).to.deep.equal(['LOST', 'VM_STOPPED']);
    expect((await hub.ok(['status', 'one'])).stdout).to.match(
      /it ended by itself; "vm-agent start one" brings it back/,
    );
    const waiting = await exec('one', 'echo later');
    await hub.ok(['start', 'one'], SLOW);
    expect(at(await hub.ended(waiting), 'state'), 'what waited for it runs').to.equal('SUCCEEDED');
    expect((await hub.ok(['exec', 'one', 'cat /opt/kept'], SLOW)).stdout).to.equal('kept\n');
    expect(await qemu('two')).to.equal(bystander);
  });

  it('start again by themselves when their kernel panics, and what they ran is LOST', async () => {
    const pid = await qemu('two');
    const panic = { type: 'exec', command: 'echo c > /proc/sysrq-trigger', sudo: true };
    const lost = await hub.ended(await post(hub, 'two', panic));
    expect(at(lost, 'state')).to.equal('LOST');
    expect((await hub.ok(['exec', 'two', 'echo back'], SLOW)).stdout).to.equal('back\n');
    expect(await qemu('two'), 'it is the same machine').to.equal(pid);
  });

  it('are noticed within 15 s when they stand still, and destroy --force ends them', async () => {
    const machine = await hostMachine(hub, 'three');
    await says(await exec('three', 'echo up; exec sleep 600'), 'up');
    process.kill(machine.qemu ?? 0, 'SIGSTOP');
    await until('it is offline', async () => (await state('three')) === 'OFFLINE', NOTICED_MS + 2_000);
    await hub.ok(['destroy', 'three', '--force'], SLOW);
    expect(await leftOf(hub, [machine])).to.deep.equal([]);
    expect(await state('three')).to.equal(undefined);
  });

  describe('that are being made when the hub is killed', () => {
    const images = async () =>
      String(at(JSON.parse((await hub.ok(['image', 'list', '--json'])).stdout), '0.id'));

    /** Kills the hub while a machine is at a stage; tries again when that was over too soon. */
    async function killAt(stage: string): Promise<void> {
      for (let tries = 0; tries < 5; tries += 1) {
        // A file that was touched is read again, which makes this stage long enough to be met.
        const now = new Date();
        await utimes(join(hub.home, 'images', await images(), 'disk.qcow2'), now, now);
        const creating = hub.startCli(['create', 'half', ...SMALL]);
        const met = await meets(stage);
        if (met) await hub.crash();
        else await hub.ok(['destroy', 'half', '--force'], SLOW);
        await creating.ended(BOOT_MS);
        if (met) return;
      }
      throw new Error(`the stage ${stage} was not met in five tries`);
    }

    async function meets(wanted: string): Promise<boolean> {
      for (;;) {
        const vm = (await hub.rest('GET', '/agents/half/vm')).json;
        const stages = list(vm, 'vm.stages');
        const stage = stages.find((item) => at(item, 'name') === wanted);
        const over = (item: unknown) => typeof at(item, 'durationMs') === 'number';
        if (stage !== undefined) return !over(stage);
        await sleep(2);
      }
    }

    for (const stage of ['image', 'disk', 'boot', 'agent']) {
      it(`at the stage ${stage}: are completed or fully removed by the next hub`, async () => {
        await killAt(stage);
        await hub.startAgain();
        await until(
          'it is completed or removed',
          async () => ['ONLINE', 'FAILED', undefined].includes((await state('half')) as string | undefined),
          BOOT_MS,
        );
        const end = await state('half');
        if (end === 'ONLINE') {
          expect((await hub.ok(['exec', 'half', 'echo works'], SLOW)).stdout).to.equal('works\n');
        } else {
          expect(await filesLeft(hub, ['half'])).to.deep.equal([]);
          expect((await hub.ok(['status', 'half'])).stdout).to.match(
            /"vm-agent destroy half", then create it again/,
          );
        }
        if (stage === 'agent') expect(end).to.equal('ONLINE');
        await hub.ok(['destroy', 'half', '--force'], SLOW);
        expect(await state('half')).to.equal(undefined);
        for (const name of ['one', 'two']) expect(await qemu(name), name).to.be.above(0);
      });
    }
  });
});
