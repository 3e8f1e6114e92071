import { expect } from 'chai';
import type { LogEntry, LogQuery } from '../../../src/hub/api.js';
import { emptyOutcome } from '../../../src/model/task.js';
import { HubHarness } from '../../support/hub-harness.js';
import { ScriptedAgent } from '../../support/scripted-agent.js';

describe('output and events of a hub', () => {
  let harness: HubHarness;
  let agent: ScriptedAgent;
  let signal: AbortSignal;
  beforeEach(async () => {
    signal = AbortSignal.timeout(15_000);
    harness = await HubHarness.start();
    agent = await ScriptedAgent.join(harness.hub, 'a');
  });
  afterEach(() => harness.close());

  const query = (more: Partial<LogQuery> & Pick<LogQuery, 'scope'>): LogQuery => ({
    follow: false,
    format: 'LINES',
    streams: [],
    ...more,
  });
  const read = async (more: Partial<LogQuery> & Pick<LogQuery, 'scope'>) => {
    const entries: LogEntry[] = [];
    for await (const entry of harness.hub.logs.stream(query(more), signal)) entries.push(entry);
    return entries;
  };
  const texts = async (more: Partial<LogQuery> & Pick<LogQuery, 'scope'>) =>
    (await read(more)).map((e) => e.text);

  /** A task that wrote these pieces to standard output and has ended. */
  async function finished(...pieces: readonly string[]): Promise<string> {
    const { id } = await harness.post('a');
    const work = await agent.assignment();
    const output = agent.output();
    let offset = 0;
    for (const piece of pieces) {
      output.chunk(work, offset, piece);
      offset += piece.length;
      await output.ack();
    }
    agent.run(work, 'SUCCEEDED', { ...emptyOutcome('EXITED'), exitCode: 0, stdoutBytes: offset });
    await harness.hub.tasks.wait(id, 5000, signal);
    output.close();
    return id;
  }

  it('answers lines, the last lines, and what comes behind a cursor', async () => {
    const task = await finished('1\n2\n3\n', '4\n', '5');
    const scope = { task };
    const all = await read({ scope });
    expect(all.map((e) => e.text)).to.deep.equal(['1', '2', '3', '4', '5']);
    expect(all.at(-1)?.partial).to.equal(true);
    expect(await texts({ scope, lines: 2 })).to.deep.equal(['4', '5']);
    expect(await texts({ scope, lines: 0 })).to.deep.equal([]);
    for (const [n, entry] of all.entries()) {
      const rest = await texts({ scope, cursor: entry.cursor });
      expect(rest, `behind ${entry.cursor}`).to.deep.equal(['1', '2', '3', '4', '5'].slice(n + 1));
    }
    const bytes = await read({ scope, format: 'BYTES' });
    expect(Buffer.concat(bytes.map((e) => e.data ?? Buffer.of())).toString()).to.equal('1\n2\n3\n4\n5');
  });

  it('gives who follows after the end everything once, and nothing where nothing was written', async () => {
    const scope = { task: await finished('1\n', '2\n') };
    for (const lines of [undefined, 1_000_000_000])
      expect(await texts({ scope, follow: true, ...(lines ? { lines } : {}) })).to.deep.equal(['1', '2']);
    expect(await texts({ scope: { task: await finished() }, follow: true })).to.deep.equal([]);
  });

  it('cuts a line that does not end into partial pieces, each of which counts as a line', async () => {
    const piece = 'x'.repeat(65_536);
    const task = await finished(...Array.from({ length: 64 }, () => piece));
    const entries = await read({ scope: { task } });
    expect(entries.every((entry) => entry.partial)).to.equal(true);
    expect(entries.reduce((sum, { text }) => sum + (text?.length ?? 0), 0)).to.equal(64 * piece.length);
    expect((await read({ scope: { task }, lines: 1 })).length).to.equal(1);
  });

  it('follows a task to its end, from before its first byte', async () => {
    const { id } = await harness.post('a');
    const work = await agent.assignment();
    const following = texts({ scope: { task: id }, follow: true });
    const output = agent.output();
    output.chunk(work, 0, 'one\n');
    await output.ack();
    output.chunk(work, 4, 'two\n');
    agent.run(work, 'SUCCEEDED', { ...emptyOutcome('EXITED'), exitCode: 0, stdoutBytes: 8 });
    expect(await following).to.deep.equal(['one', 'two']);
    output.close();
  });

  it('follows an agent over its tasks until the reader stops', async () => {
    await finished('old\n');
    const gone = new AbortController();
    const seen: string[] = [];
    const following = (async () => {
      const more = query({ scope: { agent: 'a' }, follow: true });
      for await (const entry of harness.hub.logs.stream(more, gone.signal)) {
        seen.push(entry.text ?? '');
        if (entry.text === 'new') gone.abort(new Error('enough'));
      }
    })();
    await finished('new\n');
    await following.catch(() => {});
    expect(seen).to.deep.equal(['old', 'new']);
  });

  it('tells every change of a task once, in order, and goes on behind a cursor', async () => {
    const start = await harness.ctx.store.events.last();
    const task = await finished();
    const types: string[] = [];
    let cursor = start;
    for await (const event of harness.hub.events.watch({ after: start, task, types: [] }, signal)) {
      types.push(event.type);
      if (event.type === 'task.running') cursor = event.sequence;
      if (event.type === 'task.ended') break;
    }
    expect(types).to.deep.equal(['task.queued', 'task.dispatched', 'task.running', 'task.ended']);
    for await (const event of harness.hub.events.watch({ after: cursor, types: ['task'] }, signal)) {
      expect(event).to.include({ type: 'task.ended', state: 'SUCCEEDED' });
      break;
    }
  });

  it('counts what happens for Prometheus, health and statistics', async () => {
    await finished('x\n');
    const { text } = await harness.hub.admin.metrics();
    expect(text).to.match(/^vm_hub_agents\{status="online"\} 1$/m);
    expect(text).to.match(/^vm_hub_active_tasks 0$/m);
    expect(text).to.match(/^vm_hub_messages_total\{type="report",status="received"\} 2$/m);
    expect(text).to.match(/^vm_agent_tasks_total\{type="exec",state="SUCCEEDED"\} 1$/m);
    const health = await harness.hub.admin.health();
    expect(health).to.deep.include({ healthy: true, agents: { total: 1, online: 1 } });
    expect(await harness.hub.admin.stats()).to.include({ totalAgents: 1, onlineAgents: 1, activeTasks: 0 });
  });
});
