import { expect } from 'chai';
import type { TaskSpec } from '../../../src/model/task.js';
import { AgentHarness } from '../../support/agent-harness.js';
import { JumpingClock } from '../../support/jumping-clock.js';

const HOUR = 3_600_000;

describe('agent: the end of tasks that do not want to end', () => {
  let harness: AgentHarness;
  let clock: JumpingClock;

  beforeEach(async () => {
    harness = new AgentHarness();
    clock = new JumpingClock();
    await harness.start({ clock });
  });
  afterEach(() => harness.close());

  const exec = (task: string, command: string, more: Partial<TaskSpec> = {}) =>
    harness.hub.assign(task, { type: 'exec', run: { command }, ...more } as TaskSpec);

  it('kills what ignores SIGTERM 10 s after a cancel', async () => {
    const { hub } = harness;
    exec('t', "trap '' TERM; echo up; while :; do sleep 1; done");
    await hub.until(() => hub.size('t') > 0);
    const startMs = performance.now();
    hub.send({ type: 'cancel', task: 't', attempt: 1, force: false });
    const end = await hub.ended('t');
    expect(performance.now() - startMs).to.be.within(9500, 12_500);
    expect(end.state).to.equal('CANCELLED');
    expect(end.outcome).to.include({ signal: 'SIGKILL', killed: true });
  });

  it('keeps a time limit while the hub is away, and tells it later', async () => {
    const { hub } = harness;
    exec('t', 'echo up; sleep 60', { timeoutMs: 2000 });
    await hub.until(() => hub.size('t') > 0);
    hub.stop();
    await new Promise((resolve) => setTimeout(resolve, 3000));
    await hub.listen();
    const end = await hub.ended('t');
    expect(end.state).to.equal('TIMED_OUT');
    expect(Number(end.endMs) - Number(end.startMs)).to.be.within(1900, 3000);
  });

  it('counts time limits by a clock that nobody can set', async () => {
    exec('ahead', 'echo up; sleep 1; echo on', { timeoutMs: 5000 });
    await harness.hub.until(() => harness.hub.size('ahead') > 0);
    clock.setWall(HOUR);
    expect((await harness.hub.ended('ahead')).state).to.equal('SUCCEEDED');
    exec('back', 'echo up; sleep 60', { timeoutMs: 1000 });
    await harness.hub.until(() => harness.hub.size('back') > 0);
    clock.setWall(-2 * HOUR);
    const startMs = performance.now();
    expect((await harness.hub.ended('back')).state).to.equal('TIMED_OUT');
    expect(performance.now() - startMs).to.be.below(4000);
  });

  it('ends a script in an endless loop, and lives on when one calls process.exit', async () => {
    const script = (text: string) => ({ type: 'script', script: text, args: [], timeoutMs: 1500 }) as never;
    harness.hub.assign('loop', script('for (;;) {}'));
    expect((await harness.hub.ended('loop')).state).to.equal('TIMED_OUT');
    harness.hub.assign('exit', script('process.exit(7)'));
    expect((await harness.hub.ended('exit')).outcome?.exitCode).to.equal(7);
    expect((await harness.hub.exec('next', 'true')).state).to.equal('SUCCEEDED');
  });
});
