import { expect } from 'chai';
import { AsyncQueue } from '../../../src/base/async-queue.js';
import type { ShellInput } from '../../../src/model/agent-protocol.js';
import { HubHarness } from '../../support/hub-harness.js';
import { execSpec, sampleAgent } from '../../support/samples.js';
import { ScriptedAgent } from '../../support/scripted-agent.js';

describe('an agent with an environment of its own', () => {
  let harness: HubHarness;
  beforeEach(async () => {
    harness = await HubHarness.start();
    await harness.ctx.store.agents.create(sampleAgent('a', { env: { CI: 'true', A: 'agent' } }));
  });
  afterEach(() => harness.close());

  it('has it beside every task, which is stored as its caller wrote it', async () => {
    const agent = await ScriptedAgent.connect(harness.hub, 'a');
    const { id } = await harness.post('a', { spec: execSpec('true', { env: { A: 'task' } }) });
    const work = await agent.assignment();
    expect([work.env, work.spec.env]).to.deep.equal([{ CI: 'true', A: 'agent' }, { A: 'task' }]);
    expect((await harness.hub.tasks.get(id)).task.spec.env).to.deep.equal({ A: 'task' });
    agent.run(work);
    await agent.cut();
  });

  it('has it in every shell', async () => {
    const agent = await ScriptedAgent.connect(harness.hub, 'a');
    const leaving = new AbortController();
    const open = { argv: [], size: { columns: 80, rows: 24 }, term: 'xterm' };
    const shell = harness.hub.agents.shell('a', open, new AsyncQueue<ShellInput>(), leaving.signal);
    expect((await agent.next('openShell')).open).to.deep.equal({ ...open, env: { CI: 'true', A: 'agent' } });
    leaving.abort(new Error('enough'));
    await shell.catch(() => {});
    await agent.cut();
  });
});

describe('what counts as activity in an agent', () => {
  let harness: HubHarness;
  beforeEach(async () => {
    harness = await HubHarness.start();
  });
  afterEach(() => harness.close());
  const busy = async () => [...(await harness.hub.busy(['a', 'unknown']))];

  it('is a task in hand, and one that waits for an agent that is online', async () => {
    const agent = await ScriptedAgent.join(harness.hub, 'a');
    expect(await busy()).to.deep.equal([]);
    const { id } = await harness.post('a');
    expect(await busy()).to.deep.equal(['a']);
    agent.run(await agent.assignment());
    await harness.hub.tasks.wait(id, 5_000, AbortSignal.timeout(10_000));
    expect(await busy()).to.deep.equal([]);
    await agent.cut();
    await harness.post('a');
    expect(await busy(), 'waits for an agent that is away').to.deep.equal([]);
  });

  it('is an open shell, to its end', async () => {
    const agent = await ScriptedAgent.join(harness.hub, 'a');
    const open = { argv: [], size: { columns: 80, rows: 24 }, term: 'xterm' };
    const leaving = new AbortController();
    const opening = harness.hub.agents.shell('a', open, new AsyncQueue<ShellInput>(), leaving.signal);
    const { shell } = await agent.next('openShell');
    const frames = new AsyncQueue<
      { type: 'open'; shell: string; sessionGeneration: number } | { type: 'output'; data: Uint8Array }
    >();
    frames.push({ type: 'open', shell, sessionGeneration: agent.generation });
    const keys = harness.hub.door.attachShell('a', frames, leaving.signal)[Symbol.asyncIterator]();
    const pressed = keys.next().catch(() => undefined);
    const screen = (await opening)[Symbol.asyncIterator]();
    frames.push({ type: 'output', data: Buffer.from('$ ') });
    await screen.next();
    expect(await busy()).to.deep.equal(['a']);
    await screen.return?.();
    expect(await busy()).to.deep.equal([]);
    leaving.abort(new Error('enough'));
    await pressed;
    await agent.cut();
  });

  it('is its making and its removal', async () => {
    await ScriptedAgent.join(harness.hub, 'a').then((agent) => agent.cut());
    for (const phase of ['CREATING', 'DESTROYING'] as const) {
      await harness.ctx.store.agents.update('a', { phase });
      expect(await busy(), phase).to.deep.equal(['a']);
    }
    await harness.ctx.store.agents.update('a', { phase: 'FAILED' });
    expect(await busy()).to.deep.equal([]);
  });
});
