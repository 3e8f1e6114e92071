import { expect } from 'chai';
import { HubError } from '../../../src/model/hub-error.js';
import { emptyOutcome } from '../../../src/model/task.js';
import type { Vm } from '../../../src/model/vm.js';
import { HubHarness } from '../../support/hub-harness.js';
import { ScriptedAgent } from '../../support/scripted-agent.js';

const DONE = { ...emptyOutcome('EXITED'), exitCode: 0 };

describe('a machine from the past', () => {
  let harness: HubHarness;
  let signal: AbortSignal;
  beforeEach(async () => {
    signal = AbortSignal.timeout(15_000);
    harness = await HubHarness.start();
  });
  afterEach(() => harness.close());
  const wait = (id: string) => harness.hub.tasks.wait(id, 10_000, signal);
  const endOf = (agent: ScriptedAgent) =>
    agent.ended().then(
      () => 'no error',
      (err: unknown) => (err instanceof HubError ? err.reason : String(err)),
    );

  async function acked(agent: ScriptedAgent, sequence: number) {
    for (let last = 0; last < sequence; last = (await agent.next('ack')).sequence);
  }

  /** A task that runs on agent `a`. */
  async function running() {
    const agent = await ScriptedAgent.join(harness.hub, 'a');
    const { id } = await harness.post('a');
    const work = await agent.assignment();
    agent.report(work, 'RUNNING', { startMs: Date.now() });
    await acked(agent, 1);
    return { agent, id, work, before: { task: id, attempt: 1, state: 'RUNNING', sequence: 1 } as const };
  }

  /** What the hub does when the machine of agent `a` is restored. */
  async function restore(generation: number) {
    await harness.hub.fence('a', 'RESTORED', generation);
    await harness.hub.machineChanged({ name: 'a', state: 'STARTING', error: '' } as Vm);
  }

  it('in whose memory a task runs that has ended since: the result stays, the task is killed, work goes on', async () => {
    const { agent, id, work, before } = await running();
    agent.report(work, 'SUCCEEDED', { outcome: DONE });
    await acked(agent, 2);
    await restore(2);
    expect(await endOf(agent)).to.equal('FENCED');
    const early = new ScriptedAgent(harness.hub, 'a');
    early.hello({ attempts: [before], journalSequence: 1 });
    expect(await endOf(early), 'before it was told its new generation').to.equal('FENCED');
    const old = { attempts: [before], journalSequence: 1, vmGeneration: 2 };
    const woken = await ScriptedAgent.connect(harness.hub, 'a', old);
    expect(await woken.next('forget')).to.include({ task: id, attempt: 1 });
    woken.report(work, 'CANCELLED', { sequence: 2, outcome: { ...emptyOutcome('CANCELLED'), killed: true } });
    await acked(woken, 2);
    const { task, attempts } = await harness.hub.tasks.get(id);
    expect([task.state, task.outcome?.exitCode, attempts.length]).to.deep.equal(['SUCCEEDED', 0, 1]);
    const next = await harness.post('a');
    woken.report(await woken.assignment(), 'SUCCEEDED', { sequence: 3, outcome: DONE });
    expect(await wait(next.id)).to.include({ state: 'SUCCEEDED', attempt: 1 });
  });

  it('in whose memory a task runs that ran when it was restored: it is LOST once and killed', async () => {
    const { id, before } = await running();
    await restore(2);
    expect((await wait(id)).outcome?.reason).to.equal('RESTORED');
    const woken = await ScriptedAgent.connect(harness.hub, 'a', { attempts: [before], vmGeneration: 2 });
    expect(await woken.next('cancel')).to.include({ task: id, attempt: 1, force: true });
    woken.report(before, 'SUCCEEDED', { sequence: 2, outcome: DONE });
    await acked(woken, 2);
    const { task, attempts } = await harness.hub.tasks.get(id);
    expect([task.state, attempts[0]?.lateOutcome?.exitCode]).to.deep.equal(['LOST', 0]);
  });

  it('which is a clone with the identity and memory of one that lives is refused, until that one is gone', async () => {
    const { agent: parent, id, work, before } = await running();
    const memory = { attempts: [before], journalSequence: 1, lastSessionGeneration: parent.generation };
    const back = await ScriptedAgent.connect(harness.hub, 'a', memory);
    expect(back.generation, 'the same process again').to.be.above(parent.generation);
    back.report(work, 'RUNNING', { sequence: 1, startMs: Date.now() });
    await acked(back, 1);
    const clone = new ScriptedAgent(harness.hub, 'a');
    clone.hello(memory);
    expect(await endOf(clone)).to.equal('DUPLICATE_IDENTITY');
    back.report(work, 'SUCCEEDED', { sequence: 2, outcome: DONE });
    expect((await wait(id)).state).to.equal('SUCCEEDED');
    await back.cut();
    const left = await ScriptedAgent.connect(harness.hub, 'a', memory);
    expect(await left.next('forget')).to.include({ task: id });
  });
});
