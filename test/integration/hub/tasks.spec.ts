import { setImmediate } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect } from 'chai';
import { HubError } from '../../../src/model/hub-error.js';
import { emptyOutcome } from '../../../src/model/task.js';
import { HubHarness } from '../../support/hub-harness.js';
import { execSpec } from '../../support/samples.js';
import { ScriptedAgent } from '../../support/scripted-agent.js';

const FAILED = { ...emptyOutcome('EXITED'), exitCode: 1 };

describe('tasks of a hub', () => {
  let harness: HubHarness;
  let signal: AbortSignal;
  const reasonOf = (promise: Promise<unknown>) =>
    promise.then(
      () => 'no error',
      (err: unknown) => (err instanceof HubError ? err.reason : String(err)),
    );
  const wait = (id: string) => harness.hub.tasks.wait(id, 5000, signal);
  beforeEach(async () => {
    signal = AbortSignal.timeout(15_000);
    harness = await HubHarness.start({ queuedPerAgent: 50, lanesPerAgent: 3 });
  });
  afterEach(() => harness.close());

  it('ends a wait at its time, also when memory was cleaned up meanwhile', async () => {
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    await harness.hub.agents.register('a', {});
    const { id } = await harness.post('a');
    const started = performance.now();
    const waiting = harness.hub.tasks.wait(id, 300, signal);
    for (let n = 0; n < 3; n += 1) {
      await setImmediate();
      collect();
    }
    expect((await waiting).state).to.equal('QUEUED');
    expect(performance.now() - started).to.be.within(290, 5000);
  });

  it('answers the same task for the same id and content, and refuses other content', async () => {
    await harness.hub.agents.register('a', {});
    const first = await harness.post('a', { id: 'mine' });
    expect((await harness.post('a', { id: 'mine' })).sequence).to.equal(first.sequence);
    const other = harness.post('a', { id: 'mine', spec: execSpec('false') });
    expect(await reasonOf(other)).to.equal('TASK_CONFLICT');
    const keyed = await harness.post('a', { idempotencyKey: 'k' });
    expect((await harness.post('a', { idempotencyKey: 'k' })).id).to.equal(keyed.id);
    expect((await harness.post('a', { id: keyed.id })).sequence, 'its id, given later').to.equal(
      keyed.sequence,
    );
    expect(await reasonOf(harness.post('a', { idempotencyKey: 'k', id: 'x' }))).to.equal('TASK_CONFLICT');
    expect((await harness.hub.agents.get('a')).record.counters.tasksReceived).to.equal(2);
  });

  it('refuses what it cannot hold: unknown agents and dependencies, too many tasks, too many lanes', async () => {
    await harness.hub.agents.register('a', {});
    expect(await reasonOf(harness.post('nobody'))).to.equal('AGENT_NOT_FOUND');
    expect(await reasonOf(harness.post('a', { after: ['nothing'] }))).to.equal('TASK_NOT_FOUND');
    for (const lane of ['1', '2', '3']) await harness.post('a', { lane });
    expect(await reasonOf(harness.post('a', { lane: '4' }))).to.equal('LANE_LIMIT');
    for (let n = 3; n < 50; n += 1) await harness.post('a', { lane: '1' });
    expect(await reasonOf(harness.post('a', { lane: '1' }))).to.equal('QUEUE_FULL');
  });

  it('says why a task waits, and nothing of one that its agent gets at once', async () => {
    const agent = await ScriptedAgent.join(harness.hub, 'a');
    const first = await harness.post('a');
    expect(harness.hub.tasks.queuedReason(first)).to.equal('');
    expect((await agent.assignment()).task).to.equal(first.id);
    expect(harness.hub.tasks.queuedReason(first)).to.equal('');
    const stuck = { ...first, id: 'another' };
    expect(harness.hub.tasks.queuedReason(stuck)).to.equal('LANE_BUSY');
  });

  it('fills all places of an agent, also while most are taken', async () => {
    await harness.close();
    harness = await HubHarness.start({ slots: 4 });
    const agent = await ScriptedAgent.join(harness.hub, 'a');
    const posted = [];
    for (const lane of ['1', '2', '3', '4', '5']) posted.push((await harness.post('a', { lane })).id);
    const works = [];
    for (let n = 0; n < 4; n++) works.push(await agent.assignment());
    expect(works.map(({ task }) => task)).to.deep.equal(posted.slice(0, 4));
    for (const work of works) agent.run(work);
    expect((await agent.assignment()).task).to.equal(posted[4]);
  });

  it('stops a lane behind a failure, and only that lane', async () => {
    const agent = await ScriptedAgent.join(harness.hub, 'a');
    const first = await harness.post('a', { onFailure: 'STOP' });
    const behind = await harness.post('a');
    const beside = await harness.post('a', { lane: 'other' });
    const work = await agent.assignment();
    expect(work).to.include({ task: first.id, stopLaneOnFailure: true });
    agent.run(await agent.assignment());
    agent.run(work, 'FAILED', FAILED);
    expect((await wait(behind.id)).outcome?.reason).to.equal('LANE_STOPPED');
    expect((await wait(beside.id)).state).to.equal('SUCCEEDED');
  });

  it('starts a task after those it waits for, and drops it when one fails', async () => {
    const agent = await ScriptedAgent.join(harness.hub, 'a');
    const first = await harness.post('a', { lane: '1' });
    const next = await harness.post('a', { lane: '2', after: [first.id] });
    const last = await harness.post('a', { lane: '3', after: [next.id] });
    expect(harness.hub.tasks.queuedReason(next)).to.equal('WAITING_FOR_TASKS');
    agent.run(await agent.assignment());
    const work = await agent.assignment();
    expect(work.task).to.equal(next.id);
    agent.run(work, 'FAILED', FAILED);
    expect((await wait(last.id)).outcome?.reason).to.equal('DEPENDENCY_FAILED');
  });

  it('gives a task for anybody to the least loaded agent that is able, when there is one', async () => {
    const task = await harness.post(undefined, { requiredCapabilities: ['gpu'] });
    expect(harness.hub.tasks.queuedReason(task)).to.equal('NO_CAPABLE_AGENT');
    await ScriptedAgent.join(harness.hub, 'plain');
    const [busy, free] = [
      await ScriptedAgent.join(harness.hub, 'busy', { capabilities: ['gpu'] }),
      await ScriptedAgent.join(harness.hub, 'free', { capabilities: ['gpu', 'cuda'] }),
    ];
    busy.run(await busy.assignment());
    expect(await wait(task.id)).to.include({ state: 'SUCCEEDED', agent: 'busy' });
    await harness.post('busy', { lane: 'long' });
    await busy.assignment();
    const second = await harness.post(undefined, { requiredCapabilities: ['gpu'] });
    free.run(await free.assignment());
    expect(await wait(second.id)).to.include({ agent: 'free' });
  });

  it('runs a failed task again as a new attempt', async () => {
    const agent = await ScriptedAgent.join(harness.hub, 'a');
    const { id } = await harness.post('a', { maxAttempts: 2 });
    agent.run(await agent.assignment(), 'FAILED', FAILED);
    const again = await agent.assignment();
    expect(again).to.include({ task: id, attempt: 2 });
    agent.run(again);
    expect(await wait(id)).to.include({ state: 'SUCCEEDED', attempt: 2 });
    const { attempts } = await harness.hub.tasks.get(id);
    expect(attempts.map((a) => [a.number, a.state])).to.deep.equal([
      [1, 'FAILED'],
      [2, 'SUCCEEDED'],
    ]);
  });

  it('ends a task whose time in the queue is over', async () => {
    await harness.hub.agents.register('a', {});
    const { id } = await harness.post('a', { ttlMs: 1 });
    expect((await wait(id)).outcome?.reason).to.equal('QUEUE_TTL_EXPIRED');
  });

  it('watches a task through its changes, and stops waiting when the caller does', async () => {
    const agent = await ScriptedAgent.join(harness.hub, 'a');
    const { id } = await harness.post('a');
    const states: string[] = [];
    for await (const task of harness.hub.tasks.watch(id, signal)) {
      states.push(task.state);
      if (task.state === 'DISPATCHED') agent.run(await agent.assignment());
    }
    expect(states.at(-1)).to.equal('SUCCEEDED');
    const queued = await harness.post('a', { lane: 'x' });
    expect((await harness.hub.tasks.wait(queued.id, 20, signal)).state).to.equal('DISPATCHED');
    const gone = new AbortController();
    const waiting = harness.hub.tasks.wait(queued.id, 60_000, gone.signal);
    gone.abort(new HubError('CANCELLED', 'the caller went away'));
    expect(await reasonOf(waiting)).to.equal('CANCELLED');
  });

  it('ends the queue of an agent that is removed, and what it had in hand', async () => {
    const agent = await ScriptedAgent.join(harness.hub, 'a');
    const running = await harness.post('a');
    const queued = await harness.post('a', { lane: 'x', after: [running.id] });
    await agent.assignment();
    expect(await reasonOf(harness.hub.agents.remove('a', false, signal))).to.equal('AGENT_BUSY');
    await harness.hub.agents.remove('a', true, signal);
    expect((await wait(running.id)).state).to.equal('LOST');
    expect((await wait(queued.id)).state).to.equal('CANCELLED');
    expect(await reasonOf(harness.hub.agents.get('a'))).to.equal('AGENT_NOT_FOUND');
    const letters = await harness.hub.admin.deadLetters();
    expect(letters.map((task) => task.id)).to.deep.equal([running.id]);
    await harness.hub.admin.clearDeadLetters();
    expect(await harness.hub.admin.deadLetters()).to.deep.equal([]);
  });
});
