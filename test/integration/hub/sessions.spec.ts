import { expect } from 'chai';
import { HubError } from '../../../src/model/hub-error.js';
import { emptyOutcome } from '../../../src/model/task.js';
import { HubHarness } from '../../support/hub-harness.js';
import { ScriptedAgent } from '../../support/scripted-agent.js';

const DONE = { ...emptyOutcome('EXITED'), exitCode: 0 };

describe('a session of an agent', () => {
  let harness: HubHarness;
  const reasonOf = (promise: Promise<unknown>) =>
    promise.then(
      () => 'no error',
      (err: unknown) => (err instanceof HubError ? err.reason : String(err)),
    );
  const state = async (id: string) => (await harness.hub.tasks.get(id)).task.state;
  let signal: AbortSignal;
  beforeEach(async () => {
    signal = AbortSignal.timeout(15_000);
    harness = await HubHarness.start({ outputDeadlineMs: 100, helloTimeoutMs: 200 });
  });
  afterEach(() => harness.close());

  it('runs a task from assignment to its end and acknowledges the reports', async () => {
    const agent = await ScriptedAgent.join(harness.hub, 'a');
    const { id } = await harness.post('a');
    const work = await agent.assignment();
    expect(work).to.include({ task: id, attempt: 1, lane: 'default' });
    const last = agent.run(work);
    const task = await harness.hub.tasks.wait(id, 5000, signal);
    expect(task).to.include({ state: 'SUCCEEDED', attempt: 1, agent: 'a' });
    let acked = await agent.next('ack');
    while (acked.sequence < last.sequence) acked = await agent.next('ack');
    expect(acked.sequence).to.equal(last.sequence);
    expect((await harness.hub.agents.get('a')).record.counters).to.include({
      tasksReceived: 1,
      tasksCompleted: 1,
    });
  });

  it('gives an agent that comes later what waits for it, in order, within its window', async () => {
    await harness.hub.agents.register('a', {});
    const ids: string[] = [];
    for (let n = 0; n < 20; n += 1) ids.push((await harness.post('a')).id);
    const agent = await ScriptedAgent.connect(harness.hub, 'a');
    const seen: string[] = [];
    for (let n = 0; n < 20; n += 1) {
      const work = await agent.assignment();
      seen.push(work.task);
      agent.run(work);
    }
    expect(seen).to.deep.equal(ids);
    expect((await harness.hub.tasks.wait(ids[19] ?? '', 5000, signal)).state).to.equal('SUCCEEDED');
  });

  it('keeps a result until its output is stored', async () => {
    const agent = await ScriptedAgent.join(harness.hub, 'a');
    const { id } = await harness.post('a');
    const work = await agent.assignment();
    const output = agent.output();
    agent.run(work, 'SUCCEEDED', { ...DONE, stdoutBytes: 6 });
    output.chunk(work, 0, 'abc');
    expect((await output.ack())[0]).to.include({ nextOffset: 3, rewind: false });
    expect(await state(id)).to.equal('RUNNING');
    output.chunk(work, 3, 'def');
    const task = await harness.hub.tasks.wait(id, 5000, signal);
    expect(task.outcome).to.include({ stdoutBytes: 6, lostBytes: 0 });
    output.close();
  });

  it('declares output lost at the deadline, and ends the task with what is known', async () => {
    const agent = await ScriptedAgent.join(harness.hub, 'a');
    const { id } = await harness.post('a');
    const work = await agent.assignment();
    agent.run(work, 'FAILED', { ...DONE, exitCode: 3, stderrBytes: 40 });
    const task = await harness.hub.tasks.wait(id, 5000, signal);
    expect(task).to.include({ state: 'FAILED' });
    expect(task.outcome).to.include({ exitCode: 3, lostBytes: 40 });
    const entries = [];
    const query = { scope: { task: id }, follow: true, format: 'LINES', streams: [] } as const;
    for await (const entry of harness.hub.logs.stream(query, signal)) entries.push(entry);
    expect(entries.map((e) => [e.stream, e.gapBytes])).to.deep.equal([['STDERR', 40]]);
  });

  it('drops repeated output, refuses a gap, and stores nothing of attempts that are not its own', async () => {
    const agent = await ScriptedAgent.join(harness.hub, 'a');
    const { id } = await harness.post('a');
    const work = await agent.assignment();
    const output = agent.output();
    output.chunk(work, 0, 'abc');
    await output.ack();
    output.chunk(work, 0, 'abc');
    expect((await output.ack())[0]).to.include({ nextOffset: 3, rewind: false });
    output.chunk(work, 9, 'xyz');
    expect((await output.ack())[0]).to.include({ nextOffset: 3, rewind: true });
    output.chunk({ ...work, task: 'other' }, 0, 'evil');
    expect((await output.ack())[0]).to.include({ task: 'other', nextOffset: 4 });
    expect(harness.ctx.output.end()).to.be.greaterThan(0);
    expect(
      (await harness.ctx.output.progress({ task: 'other', attempt: 1, stream: 'STDOUT' })).nextOffset,
    ).to.equal(0);
    agent.run(work, 'SUCCEEDED', { ...DONE, stdoutBytes: 3 });
    expect((await harness.hub.tasks.wait(id, 5000, signal)).state).to.equal('SUCCEEDED');
    output.close();
  });

  it('keeps what was stored first where output overlaps, and stores what is behind it', async () => {
    const agent = await ScriptedAgent.join(harness.hub, 'a');
    const { id } = await harness.post('a');
    const work = await agent.assignment();
    const output = agent.output();
    output.chunk(work, 0, 'abc');
    await output.ack();
    output.chunk(work, 1, 'XYz');
    expect((await output.ack())[0]).to.include({ nextOffset: 4, rewind: false });
    agent.run(work, 'SUCCEEDED', { ...DONE, stdoutBytes: 4 });
    await harness.hub.tasks.wait(id, 5000, signal);
    const texts = [];
    const query = { scope: { task: id }, follow: false, format: 'LINES', streams: [] } as const;
    for await (const { text } of harness.hub.logs.stream(query, signal)) texts.push(text);
    expect(texts.join('')).to.equal('abcz');
    output.close();
  });

  it('puts back what a new session of the agent does not know and had not started', async () => {
    const agent = await ScriptedAgent.join(harness.hub, 'a');
    const { id } = await harness.post('a');
    await agent.assignment();
    await agent.cut();
    const again = await ScriptedAgent.connect(harness.hub, 'a');
    const work = await again.assignment();
    expect(work).to.include({ task: id, attempt: 2 });
    again.run(work);
    expect((await harness.hub.tasks.wait(id, 5000, signal)).attempt).to.equal(2);
  });

  it('ends a running task that the agent does not know any more as LOST', async () => {
    const agent = await ScriptedAgent.join(harness.hub, 'a');
    const { id } = await harness.post('a');
    const work = await agent.assignment();
    agent.report(work, 'RUNNING', { startMs: Date.now() });
    await agent.next('ack');
    await agent.cut();
    await ScriptedAgent.connect(harness.hub, 'a');
    const { task } = await harness.hub.tasks.get(id);
    expect(task.state).to.equal('LOST');
    expect(task.outcome?.reason).to.equal('AGENT_CRASHED');
  });

  it('takes a result that comes with the next Hello, and forgets what it has no use for', async () => {
    const agent = await ScriptedAgent.join(harness.hub, 'a');
    const { id } = await harness.post('a');
    const work = await agent.assignment();
    await agent.cut();
    const known = {
      task: id,
      attempt: work.attempt,
      state: 'SUCCEEDED',
      sequence: 7,
      outcome: DONE,
    } as const;
    const stranger = { task: 'gone', attempt: 1, state: 'RUNNING', sequence: 8 } as const;
    const again = await ScriptedAgent.connect(harness.hub, 'a', { attempts: [known, stranger] });
    expect(await again.next('forget')).to.include({ task: 'gone', attempt: 1 });
    expect((await harness.hub.tasks.wait(id, 5000, signal)).state).to.equal('SUCCEEDED');
  });

  it('fences the session before when a newer one comes, also its output', async () => {
    const agent = await ScriptedAgent.join(harness.hub, 'a');
    const newer = await ScriptedAgent.connect(harness.hub, 'a', { incarnation: 'i2' });
    expect(newer.generation).to.be.greaterThan(agent.generation);
    expect(await reasonOf(agent.ended())).to.equal('FENCED');
    expect(await reasonOf(agent.output(agent.generation).ack())).to.equal('FENCED');
    expect((await harness.hub.agents.get('a')).state).to.equal('ONLINE');
  });

  it('refuses a wrong first frame, a foreign id, an unknown protocol, silence and an older machine', async () => {
    await harness.hub.agents.register('a', {});
    const wrong = new ScriptedAgent(harness.hub, 'a');
    wrong.send({ type: 'goodbye', reason: '' });
    expect(await reasonOf(wrong.ended())).to.equal('PROTOCOL_ERROR');
    const foreign = new ScriptedAgent(harness.hub, 'a');
    foreign.hello({ agentId: 'b' });
    expect(await reasonOf(foreign.ended())).to.equal('PROTOCOL_ERROR');
    const future = new ScriptedAgent(harness.hub, 'a');
    future.hello({ protocol: 2 });
    expect(await reasonOf(future.ended())).to.equal('UPGRADE_REQUIRED');
    expect(await reasonOf(new ScriptedAgent(harness.hub, 'a').ended())).to.equal('PROTOCOL_ERROR');
    await harness.hub.fence('a', 'RESTORED', 5);
    const old = new ScriptedAgent(harness.hub, 'a');
    old.hello({ vmGeneration: 4 });
    expect(await reasonOf(old.ended())).to.equal('FENCED');
  });

  it('knows an agent by its secret only', async () => {
    const { token } = await harness.hub.agents.register('a', {});
    await harness.hub.door.authenticate('a', token);
    for (const [id, secret] of [
      ['a', ''],
      ['a', 'x'],
      ['b', token],
    ] as const) {
      expect(await reasonOf(harness.hub.door.authenticate(id, secret)), id + secret).to.equal(
        'NOT_AUTHENTICATED',
      );
    }
    const second = await harness.hub.agents.register('a', {});
    expect(await reasonOf(harness.hub.door.authenticate('a', token)), 'the old secret').to.equal(
      'NOT_AUTHENTICATED',
    );
    await harness.hub.door.authenticate('a', second.token);
  });

  it('cancels: a queued task at once, a running one through its agent', async () => {
    const agent = await ScriptedAgent.join(harness.hub, 'a');
    const first = await harness.post('a');
    const work = await agent.assignment();
    agent.report(work, 'RUNNING', { startMs: Date.now() });
    await agent.next('ack');
    expect((await harness.hub.tasks.cancel(first.id, false)).cancelRequested).to.equal(true);
    expect(await agent.next('cancel')).to.include({ task: first.id, force: false });
    agent.report(work, 'CANCELLED', { outcome: { ...emptyOutcome('CANCELLED'), killed: true } });
    expect((await harness.hub.tasks.wait(first.id, 5000, signal)).state).to.equal('CANCELLED');
    await agent.cut();
    const queued = await harness.post('a');
    expect((await harness.hub.tasks.cancel(queued.id, false)).state).to.equal('CANCELLED');
    expect(await state(queued.id)).to.equal('CANCELLED');
  });

  it('keeps everything that was accepted over a restart of the hub', async () => {
    const agent = await ScriptedAgent.join(harness.hub, 'a');
    const running = await harness.post('a');
    const waiting = await harness.post('a', { lane: 'other', after: [running.id] });
    const work = await agent.assignment();
    agent.report(work, 'RUNNING', { startMs: Date.now() });
    await agent.next('ack');
    const { dir } = harness;
    await harness.stop();
    harness = await HubHarness.start({}, dir);
    const attempts = [{ task: running.id, attempt: 1, state: 'RUNNING', sequence: 1 }] as const;
    const again = await ScriptedAgent.connect(harness.hub, 'a', { attempts });
    again.report(work, 'SUCCEEDED', { sequence: 2, endMs: Date.now(), outcome: DONE });
    const next = await again.assignment();
    expect(next.task).to.equal(waiting.id);
    again.run(next);
    expect((await harness.hub.tasks.wait(waiting.id, 5000, signal)).state).to.equal('SUCCEEDED');
  });
});
