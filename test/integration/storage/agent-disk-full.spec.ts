import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { Journal } from '../../../src/agent/journal.js';
import { systemClock } from '../../../src/base/clock.js';
import { silentLogger } from '../../../src/base/logger.js';
import { emptyOutcome, type Task } from '../../../src/model/task.js';
import { HubHarness } from '../../support/hub-harness.js';
import { RealAgent } from '../../support/real-agent.js';
import { execSpec } from '../../support/samples.js';
import { SmallDisk } from '../../support/small-disk.js';

describe('an agent whose disk is full (fault case 83)', function () {
  this.timeout(60_000);
  let disk: SmallDisk;
  let harness: HubHarness;
  let agent: RealAgent;

  before(function () {
    if (!SmallDisk.possible) this.skip();
  });

  beforeEach(async () => {
    disk = new SmallDisk(16);
    harness = await HubHarness.start();
    agent = await RealAgent.join(harness, { stateDir: join(disk.dir, 'state') });
  });

  afterEach(async () => {
    disk.clear();
    await agent.close();
    await harness.close();
    disk[Symbol.dispose]();
  });

  const post = async (command: string, lane = 'default') =>
    (await harness.post('dev', { spec: execSpec(command), lane })).id;
  const ended = (id: string, ms = 20_000): Promise<Task> =>
    harness.hub.tasks.wait(id, ms, AbortSignal.timeout(30_000));
  const running = async (id: string) => {
    while ((await harness.hub.tasks.get(id)).task.state !== 'RUNNING') await sleep(20);
  };
  const untilFile = (name: string) => `while [ ! -e ${name} ]; do sleep 0.02; done`;

  it('still delivers how tasks end, from room that the journal keeps', async () => {
    const ids = await Promise.all(
      Array.from({ length: 40 }, (_, n) => post(`${untilFile('go')}; exit ${n}`, `lane-${n}`)),
    );
    await Promise.all(ids.map(running));
    disk.fill();
    writeFileSync(join(agent.home, 'go'), '');
    const tasks = await Promise.all(ids.map((id) => ended(id)));
    expect(tasks.map(({ outcome }) => outcome?.exitCode)).to.deep.equal(ids.map((_, n) => n));
    expect(disk.free).to.equal(0);
  });

  it('blocks a task whose output finds no room, and lets it go on without a lost byte', async () => {
    const id = await post(`${untilFile('go')}; seq 100000; echo end >> done`);
    await running(id);
    disk.fill();
    writeFileSync(join(agent.home, 'go'), '');
    const { state } = await ended(id, 2500);
    expect(state).to.equal('RUNNING');
    disk.clear();
    const { outcome } = await ended(id);
    expect(outcome).to.include({ exitCode: 0, lostBytes: 0 });
    const { records } = await harness.ctx.output.read({ scope: { task: id }, after: 0, maxBytes: 2 ** 30 });
    const text = Buffer.concat(records.map(({ data }) => data)).toString();
    expect(text).to.equal(Array.from({ length: 100_000 }, (_, i) => `${i + 1}\n`).join(''));
  });

  it('takes nothing for written down that is not, and goes on when there is room', async () => {
    const path = join(disk.dir, 'journal');
    const options = { path, vmGeneration: 1, clock: systemClock, log: silentLogger };
    const journal = await Journal.open(options);
    disk.fill();
    let durable = 0;
    const records = Array.from({ length: 30 }, async (_, n) => {
      const outcome = { ...emptyOutcome('EXITED'), stdoutTail: 'x'.repeat(100_000) };
      await sleep(n);
      await journal.record({ task: `t${n}`, attempt: 1, state: 'SUCCEEDED', endMs: 1, outcome });
      durable += 1;
    });
    await sleep(2500);
    expect(durable).to.be.within(5, 29);
    disk.clear();
    await Promise.all(records);
    await journal.close();
    const again = await Journal.open(options);
    expect(again.all()).to.have.length(30);
    await again.close();
  });
});
