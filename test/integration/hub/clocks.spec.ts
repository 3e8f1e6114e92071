import { expect } from 'chai';
import { emptyOutcome } from '../../../src/model/task.js';
import { HubHarness } from '../../support/hub-harness.js';
import { JumpingClock } from '../../support/jumping-clock.js';
import { execSpec } from '../../support/samples.js';
import { ScriptedAgent } from '../../support/scripted-agent.js';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DONE = { ...emptyOutcome('EXITED'), exitCode: 0 };

describe('time and the hub', () => {
  let harness: HubHarness;
  let clock: JumpingClock;
  let signal: AbortSignal;
  beforeEach(async () => {
    signal = AbortSignal.timeout(15_000);
    clock = new JumpingClock();
    harness = await HubHarness.start({}, undefined, {}, clock);
  });
  afterEach(() => harness.close());
  const state = async (id: string) => (await harness.hub.tasks.get(id)).task.state;
  const wait = (id: string) => harness.hub.tasks.wait(id, 10_000, signal);

  /** A task that runs on agent `a`. */
  async function running(timeoutMs: number) {
    const agent = await ScriptedAgent.join(harness.hub, 'a');
    const { id } = await harness.post('a', { spec: execSpec('true', { timeoutMs }) });
    const work = await agent.assignment();
    agent.report(work, 'RUNNING', { startMs: Date.now() });
    await agent.next('ack');
    return { agent, id, work, attempts: [{ task: id, attempt: 1, state: 'RUNNING', sequence: 1 }] as const };
  }

  /** Resolves when the hub has looked at its tasks: one that has waited for too long is gone. */
  async function looked() {
    await harness.hub.agents.register('nobody', {});
    const { id } = await harness.post('nobody', { ttlMs: 1 });
    expect((await wait(id)).outcome?.reason).to.equal('QUEUE_TTL_EXPIRED');
  }

  it('an outage of the hub for a day is not held against a task; the back-stop counts anew', async () => {
    const { agent, id, work, attempts } = await running(5 * MINUTE);
    await agent.cut();
    await harness.stop();
    clock.standStill(24 * HOUR);
    harness = await HubHarness.start({}, harness.dir, {}, clock);
    await looked();
    expect(await state(id)).to.equal('RUNNING');
    const back = await ScriptedAgent.connect(harness.hub, 'a', { attempts });
    await looked();
    back.report(work, 'SUCCEEDED', { sequence: 2, outcome: DONE });
    expect((await wait(id)).state).to.equal('SUCCEEDED');
  });

  it('a hub that stood still for an hour gives no task up, whether its agent is there or not', async () => {
    const here = await running(5 * MINUTE);
    const away = await ScriptedAgent.join(harness.hub, 'b');
    const other = await harness.post('b');
    const work = await away.assignment();
    away.report(work, 'RUNNING', { startMs: Date.now() });
    await away.next('ack');
    await away.cut();
    await looked();
    clock.standStill(HOUR);
    await looked();
    expect([await state(here.id), await state(other.id)]).to.deep.equal(['RUNNING', 'RUNNING']);
    here.agent.report(here.work, 'SUCCEEDED', { outcome: DONE });
    const ended = { task: other.id, attempt: 1, state: 'SUCCEEDED', sequence: 2, outcome: DONE } as const;
    await ScriptedAgent.connect(harness.hub, 'b', { attempts: [ended] });
    expect([(await wait(here.id)).state, (await wait(other.id)).state]).to.deep.equal([
      'SUCCEEDED',
      'SUCCEEDED',
    ]);
  });

  for (const [name, byMs] of [
    ['an hour forward', HOUR],
    ['an hour back', -HOUR],
    ['ten years forward', 10 * 365 * 24 * HOUR],
  ] as const)
    it(`a wall clock set ${name} ends nothing that runs and makes no time negative`, async () => {
      const { agent, id, work } = await running(5 * MINUTE);
      const silent = await ScriptedAgent.join(harness.hub, 'b');
      const { id: left } = await harness.post('b');
      silent.report(await silent.assignment(), 'RUNNING', { startMs: Date.now() });
      await silent.next('ack');
      await silent.cut();
      clock.setWall(byMs);
      await looked();
      expect([await state(id), await state(left)]).to.deep.equal(['RUNNING', 'RUNNING']);
      agent.report(work, 'SUCCEEDED', { endMs: clock.now(), outcome: DONE });
      await wait(id);
      const { task, attempts } = await harness.hub.tasks.get(id);
      for (const { startMs, endMs } of [task, ...attempts])
        expect(Number(endMs) - Number(startMs)).to.be.at.least(0);
      expect((await harness.hub.agents.get('a')).state).to.equal('ONLINE');
    });
});
