import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect } from 'chai';
import { systemClock } from '../../../../src/base/clock.js';
import { isSameProcess, listProcesses, readProcess } from '../../../../src/base/process-table.js';
import { killAll, membersOf } from '../../../../src/vm/providers/machine-process.js';

/**
 * The shell is outside of the namespace whose first process is `sleep 1000`; `sleep 1001` is inside, and a child of
 * the shell.
 */
const TREE = 'sleep 1000 & sleep 1001 & echo up; wait';
const UNSHARE = ['--user', '--map-root-user', '--pid'];

describe('processes of a machine', () => {
  it('are ended when the first process of a namespace waits for one whose parent stands still', async function () {
    const shell = spawn('unshare', [...UNSHARE, 'sh', '-c', TREE], { stdio: ['ignore', 'pipe', 'ignore'] });
    const ended = once(shell, 'exit');
    const said = await Promise.race([once(shell.stdout, 'data'), ended.then(() => undefined)]);
    // Only where this user may make namespaces.
    if (said === undefined) return this.skip();
    const first = await readProcess(shell.pid ?? 0);
    if (!first) throw new Error('the shell is gone');
    const below = (await listProcesses()).filter((row) => row.parent === first.pid);
    expect(below).to.have.length(2);
    process.kill(first.pid, 'SIGSTOP');
    process.kill(Math.min(...below.map(({ pid }) => pid)), 'SIGKILL');
    try {
      await killAll(() => membersOf(first), [], systemClock, AbortSignal.timeout(15_000));
    } finally {
      shell.kill('SIGKILL');
      await ended;
    }
    for (const row of [first, ...below]) expect(await isSameProcess(row)).to.equal(false);
  });
});
