import { expect } from 'chai';
import { HubError } from '../../../src/model/hub-error.js';
import { emptyOutcome } from '../../../src/model/task.js';
import { HubHarness } from '../../support/hub-harness.js';
import { ScriptedAgent } from '../../support/scripted-agent.js';

const DONE = { ...emptyOutcome('EXITED'), exitCode: 0 };
const KILLED = { ...emptyOutcome('CANCELLED'), killed: true };

describe('attempts that were given up', () => {
  let harness: HubHarness;
  let signal: AbortSignal;
  beforeEach(async () => {
    signal = AbortSignal.timeout(15_000);
    harness = await HubHarness.start({ lostAfterMs: 1 });
  });
  afterEach(() => harness.close());
  const wait = (id: string) => harness.hub.tasks.wait(id, 10_000, signal);
  const state = async (id: string) => (await harness.hub.tasks.get(id)).task.state;

  /** A pooled task that runs on agent `a`, which the hub has not heard of for too long. */
  async function partitioned(maxAttempts: number) {
    const agent = await ScriptedAgent.join(harness.hub, 'a');
    const { id } = await harness.post(undefined, { maxAttempts });
    const work = await agent.assignment();
    agent.report(work, 'RUNNING', { startMs: Date.now() });
    await agent.next('ack');
    await agent.cut();
    return { id, work, running: { task: id, attempt: 1, state: 'RUNNING', sequence: 1 } as const };
  }

  it('are tried again on another agent only when the first is known to be over', async () => {
    const { id, work, running } = await partitioned(2);
    const other = await ScriptedAgent.join(harness.hub, 'b');
    for await (const task of harness.hub.tasks.watch(id, signal)) if (task.state === 'QUEUED') break;
    expect((await harness.ctx.store.tasks.fencedBy('a')).map((task) => task.id)).to.deep.equal([id]);
    expect(await state(id), 'agent b is free and must not get it').to.equal('QUEUED');
    const back = await ScriptedAgent.connect(harness.hub, 'a', { attempts: [running] });
    expect(await back.next('cancel')).to.include({ task: id, attempt: 1, force: true });
    await back.cut();
    expect(await state(id)).to.equal('QUEUED');
    const again = await ScriptedAgent.connect(harness.hub, 'a', { attempts: [running] });
    await harness.post('a', { lane: 'default' });
    await again.assignment();
    again.report(work, 'CANCELLED', { sequence: 9, outcome: KILLED });
    const second = await other.assignment();
    expect(second).to.include({ task: id, attempt: 2 });
    other.run(second);
    expect(await wait(id)).to.include({ state: 'SUCCEEDED', attempt: 2, agent: 'b' });
    const { attempts } = await harness.hub.tasks.get(id);
    expect(attempts.map((a) => [a.number, a.state, a.lateOutcome?.reason])).to.deep.equal([
      [1, 'LOST', 'CANCELLED'],
      [2, 'SUCCEEDED', undefined],
    ]);
  });

  it('end a task that succeeded after all, before another attempt began', async () => {
    const { id, running } = await partitioned(2);
    for await (const task of harness.hub.tasks.watch(id, signal)) if (task.state === 'QUEUED') break;
    const done = { ...running, state: 'SUCCEEDED', sequence: 2, outcome: DONE } as const;
    await ScriptedAgent.connect(harness.hub, 'a', { attempts: [done] });
    expect(await wait(id)).to.include({ state: 'SUCCEEDED', attempt: 1 });
    expect((await harness.hub.tasks.get(id)).attempts.map((a) => a.state)).to.deep.equal(['SUCCEEDED']);
  });

  it('are over when the agent comes back without them, or its machine is stopped', async () => {
    const first = await partitioned(2);
    for await (const task of harness.hub.tasks.watch(first.id, signal)) if (task.state === 'QUEUED') break;
    const back = await ScriptedAgent.connect(harness.hub, 'a');
    const again = await back.assignment();
    expect(again).to.include({ task: first.id, attempt: 2 });
    back.report(again, 'RUNNING', { startMs: Date.now() });
    await back.cut();
    expect((await wait(first.id)).state, 'no attempts left').to.equal('LOST');
  });

  it('stay LOST without retries; a late result is kept as evidence', async () => {
    const { id, running } = await partitioned(1);
    expect((await wait(id)).outcome?.reason).to.equal('AGENT_UNREACHABLE');
    const done = { ...running, state: 'SUCCEEDED', sequence: 2, outcome: DONE } as const;
    const back = await ScriptedAgent.connect(harness.hub, 'a', { attempts: [done] });
    back.send({ type: 'report', report: done });
    await back.next('ack');
    const { task, attempts } = await harness.hub.tasks.get(id);
    expect(task.state).to.equal('LOST');
    expect(attempts[0]?.lateOutcome).to.include({ exitCode: 0 });
    const { text } = await harness.hub.admin.metrics();
    expect(text).to.match(/^vm_agent_tasks_total\{type="exec",state="LOST"\} 1$/m);
  });

  it("of another agent are none of an agent's business", async () => {
    const { id, running } = await partitioned(2);
    for await (const task of harness.hub.tasks.watch(id, signal)) if (task.state === 'QUEUED') break;
    const forged = { ...running, state: 'SUCCEEDED', sequence: 1, outcome: DONE } as const;
    const liar = await ScriptedAgent.join(harness.hub, 'liar', { attempts: [forged] });
    expect(await liar.next('forget')).to.include({ task: id });
    expect(await state(id)).to.equal('QUEUED');
  });
});

describe('journals and identities', () => {
  let harness: HubHarness;
  beforeEach(async () => {
    harness = await HubHarness.start();
  });
  afterEach(() => harness.close());
  const task = async (id: string) => (await harness.hub.tasks.get(id)).task;

  it('count an attempt as lost when the journal is behind what it once reported', async () => {
    const agent = await ScriptedAgent.join(harness.hub, 'a');
    await harness.post('a');
    const done = await agent.assignment();
    agent.report(done, 'RUNNING', { startMs: Date.now() });
    await agent.next('ack');
    agent.report(done, 'SUCCEEDED', { outcome: DONE });
    expect((await agent.next('ack')).sequence).to.equal(2);
    const second = await harness.post('a');
    const work = await agent.assignment();
    await agent.cut();
    const told = { task: second.id, attempt: work.attempt, state: 'DISPATCHED', sequence: 0 } as const;
    const back = await ScriptedAgent.connect(harness.hub, 'a', { journalSequence: 1, attempts: [told] });
    expect(await back.next('cancel')).to.include({ task: second.id, force: true });
    expect(await task(second.id)).to.deep.include({ state: 'LOST' });
    expect((await task(second.id)).outcome?.reason).to.equal('JOURNAL_LOST');
    const third = await harness.post('a');
    const next = await back.assignment();
    back.report(next, 'RUNNING', { sequence: 2, startMs: Date.now() });
    expect((await back.next('ack')).sequence, 'positions count from the older journal on').to.equal(2);
    expect((await task(third.id)).state).to.equal('RUNNING');
  });

  it('count an attempt as lost when the journal is another one', async () => {
    const agent = await ScriptedAgent.join(harness.hub, 'a');
    const { id } = await harness.post('a');
    await agent.assignment();
    await agent.cut();
    await ScriptedAgent.connect(harness.hub, 'a', { journalId: 'new' });
    expect((await task(id)).outcome?.reason).to.equal('JOURNAL_LOST');
  });

  it('put an identity that two machines use in quarantine, and let it go with a new secret', async () => {
    const reasons: string[] = [];
    let last = await ScriptedAgent.join(harness.hub, 'a', { incarnation: 'one' });
    for (let n = 0; n < 8 && reasons.length === 0; n += 1) {
      const before = last;
      try {
        last = await ScriptedAgent.connect(harness.hub, 'a', { incarnation: n % 2 === 0 ? 'two' : 'one' });
      } catch (err) {
        reasons.push(err instanceof HubError ? err.reason : String(err));
        await before
          .ended()
          .catch((e: unknown) => reasons.push(e instanceof HubError ? e.reason : String(e)));
      }
    }
    expect(reasons).to.deep.equal(['DUPLICATE_IDENTITY', 'DUPLICATE_IDENTITY']);
    const { state, stateReason } = await harness.hub.agents.get('a');
    expect([state, stateReason]).to.deep.equal(['OFFLINE', 'DUPLICATE_IDENTITY']);
    await harness.hub.agents.register('a', {});
    await ScriptedAgent.connect(harness.hub, 'a', { incarnation: 'one' });
  });

  it('do not take a process that is restarted again and again for two', async () => {
    await ScriptedAgent.join(harness.hub, 'a', { incarnation: '0' });
    for (let n = 1; n < 10; n += 1) await ScriptedAgent.connect(harness.hub, 'a', { incarnation: String(n) });
  });
});
