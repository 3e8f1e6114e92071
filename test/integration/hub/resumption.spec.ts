import { expect } from 'chai';
import { until } from '../../../src/base/until.js';
import { Wakeups } from '../../../src/base/wakeups.js';
import type { AttemptReport } from '../../../src/model/agent-protocol.js';
import { HubError } from '../../../src/model/hub-error.js';
import { emptyOutcome } from '../../../src/model/task.js';
import { HubHarness } from '../../support/hub-harness.js';
import { ScriptedAgent } from '../../support/scripted-agent.js';

const DONE = { ...emptyOutcome('EXITED'), exitCode: 0 };

describe('a result that comes with Hello', () => {
  let harness: HubHarness;
  let signal: AbortSignal;
  beforeEach(async () => {
    signal = AbortSignal.timeout(15_000);
    harness = await HubHarness.start();
  });
  afterEach(() => harness.close());
  const wait = (id: string) => harness.hub.tasks.wait(id, 10_000, signal);

  /** Two tasks that run beside each other when the connection breaks. */
  async function twoRunning() {
    const agent = await ScriptedAgent.join(harness.hub, 'a');
    const first = (await harness.post('a')).id;
    const second = (await harness.post('a', { lane: 'b' })).id;
    for (const work of [await agent.assignment(), await agent.assignment()])
      agent.report(work, 'RUNNING', { startMs: Date.now() });
    await acked(agent, 2);
    await agent.cut();
    return { first, second };
  }

  async function acked(agent: ScriptedAgent, sequence: number) {
    for (let last = 0; last < sequence; last = (await agent.next('ack')).sequence);
  }

  async function deliver(agent: ScriptedAgent, work: { readonly task: string; readonly attempt: number }) {
    const output = agent.output();
    output.chunk(work, 0, 'abc');
    expect((await output.ack())[0]?.nextOffset).to.equal(3);
  }

  it('and is reported again is acknowledged as soon as its output is stored', async () => {
    const { first, second } = await twoRunning();
    const end = { task: first, attempt: 1, state: 'SUCCEEDED', sequence: 3 } as const;
    const ended: AttemptReport = { ...end, outcome: { ...DONE, stdoutBytes: 3 } };
    const running = { task: second, attempt: 1, state: 'RUNNING', sequence: 2 } as const;
    const agent = await ScriptedAgent.connect(harness.hub, 'a', { attempts: [ended, running] });
    agent.send({ type: 'report', report: ended });
    await deliver(agent, end);
    expect((await wait(first)).outcome).to.include({ stdoutBytes: 3, lostBytes: 0 });
    await acked(agent, 3);
    const { record } = await harness.hub.agents.get('a');
    expect(record.ackedSequence, 'stored, so that a journal which is behind is noticed').to.equal(3);
  });

  it('acknowledges nothing that was reported before it and waits for its output', async () => {
    const { first, second } = await twoRunning();
    const late = { task: second, attempt: 1, state: 'SUCCEEDED', sequence: 3 } as const;
    const waits: AttemptReport = { ...late, outcome: { ...DONE, stdoutBytes: 3 } };
    const ended: AttemptReport = { ...late, task: first, sequence: 4, outcome: DONE };
    const agent = await ScriptedAgent.connect(harness.hub, 'a', { attempts: [ended, waits] });
    expect((await wait(first)).state).to.equal('SUCCEEDED');
    for (const report of [waits, ended]) agent.send({ type: 'report', report });
    const acknowledged = acked(agent, 3).then(() => harness.hub.tasks.get(second));
    await deliver(agent, late);
    expect((await acknowledged).task.state).to.equal('SUCCEEDED');
  });

  it('and is reported again is neither acknowledged nor forgotten before the disk takes it', async () => {
    const { first } = await twoRunning();
    const end = { task: first, attempt: 1, state: 'SUCCEEDED', sequence: 3 } as const;
    const ended: AttemptReport = { ...end, outcome: DONE };
    const disk = fullDisk(harness);
    const agent = await ScriptedAgent.connect(harness.hub, 'a', { attempts: [ended] });
    agent.send({ type: 'report', report: { ...end, state: 'RUNNING', sequence: 1 } });
    agent.send({ type: 'report', report: ended });
    await disk.refused(2);
    const told = Promise.race([agent.next('forget'), agent.next('ack')]).then(() =>
      harness.hub.tasks.get(first),
    );
    disk.clear();
    expect((await wait(first)).state).to.equal('SUCCEEDED');
    expect((await told).task.state, 'the state when the agent was told').to.equal('SUCCEEDED');
  });
});

/** Ends are not stored until there is room again. */
function fullDisk({ ctx }: HubHarness) {
  const { tasks } = ctx.store;
  const apply = tasks.apply.bind(tasks);
  const tries = new Wakeups();
  let refusals = 0;
  tasks.apply = async (id, event, options) => {
    if (event.type !== 'ended') return apply(id, event, options);
    refusals += 1;
    tries.notify();
    throw new HubError('DISK_FULL', 'the disk of the hub is full');
  };
  return {
    refused: (times: number) => until(tries, () => refusals >= times),
    clear: () => {
      tasks.apply = apply;
    },
  };
}
