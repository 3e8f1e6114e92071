import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { HubProcess } from '../support/e2e/hub-process.js';
import { processesNaming } from '../support/e2e/leftovers.js';

// A grandchild that left its session and its parent behind: nothing but a namespace or a cgroup holds it.
const DOUBLE_FORK = (mark: string): string => `
  const { spawn } = require('child_process');
  const inner = 'require("child_process").spawn("sleep", ["600"], { detached: true, stdio: "ignore",' +
    ' env: { MARK: "${mark}" } }).unref()';
  spawn(process.execPath, ['-e', inner], { detached: true, stdio: 'ignore' }).unref();`;

describe('a time limit', function () {
  this.timeout(120_000);
  let hub: HubProcess;

  before(async () => {
    hub = await HubProcess.start();
    await hub.ok(['create', 'slow', '--provider', 'local']);
  });
  after(() => hub?.close());

  it('kills the whole task, a double-forked grandchild too, and keeps what it wrote', async function () {
    const scope = (await hub.rest('GET', '/agents/slow/status')).at('agent.health.killScope');
    if (scope === 'process_group') {
      console.log('SKIPPED: without namespaces and cgroups a kill reaches the process group only');
      this.skip();
    }
    const mark = `${hub.home}/mark`;
    const task = {
      type: 'exec',
      argv: ['sh', '-c', 'node -e "$0"; echo partial; echo complaint >&2; exec sleep 600', DOUBLE_FORK(mark)],
      env: { TASK_MARK: mark },
      timeout: 2000,
      wait: '60s',
    };
    const posted = hub.rest('POST', '/agents/slow/task', task);
    await untilProcesses(mark, (pids) => pids.length >= 2);
    const answer = await posted;
    expect(answer.at('task.state')).to.equal('TIMED_OUT');
    expect(answer.at('task.outcome.reason')).to.equal('TIMEOUT');
    expect(answer.at('task.outcome.stdoutTail')).to.equal('partial\n');
    expect(answer.at('task.outcome.stderrTail')).to.equal('complaint\n');
    expect(await processesNaming(mark)).to.deep.equal([]);
  });

  it('makes exec end with 124', async () => {
    const result = await hub.cli([
      'exec',
      '--timeout',
      '1s',
      'slow',
      '--',
      'sh',
      '-c',
      'echo partial; sleep 600',
    ]);
    expect(result.exitCode).to.equal(124);
    expect(result.stdout).to.equal('partial\n');
    expect(result.stderr).to.match(/time|limit/i);
  });

  it('counts from the start of the task, not from its acceptance', async () => {
    await hub.rest('POST', '/agents/slow/task', { type: 'exec', command: 'sleep 2' });
    const second = { type: 'exec', command: 'echo ran', timeout: 1500, wait: '30s' };
    const answer = await hub.rest('POST', '/agents/slow/task', second);
    expect(answer.at('task.state')).to.equal('SUCCEEDED');
  });
});

/** Waits until the processes that carry a mark fulfil a condition. */
async function untilProcesses(mark: string, fulfils: (pids: number[]) => boolean): Promise<void> {
  const deadline = Date.now() + 10_000;
  while (!fulfils(await processesNaming(mark))) {
    if (Date.now() > deadline) throw new Error(`no such processes of ${mark} within 10 s`);
    await sleep(20);
  }
}
