import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { expect } from 'chai';
import { packageRoot } from '../../../src/base/package-root.js';
import { start } from '../../../src/base/process.js';
import { FakeOperatorHub, shellExit, shellOutput } from '../../support/fake-operator-hub.js';

/** The program as users run it, in a process of its own. */
describe('the vm-agent program', function () {
  this.timeout(20_000);
  let hub: FakeOperatorHub;
  const running: ChildProcess[] = [];

  beforeEach(async () => {
    hub = await new FakeOperatorHub().start();
  });
  afterEach(() => {
    for (const child of running.splice(0)) child.kill('SIGKILL');
    hub.stop();
  });

  function vmAgent(...args: string[]) {
    const main = join(packageRoot(), 'cli', 'main.ts');
    const env = { ...process.env, VM_AGENT_HUB: hub.address, VM_AGENT_HOME: '/nonexistent' };
    const child = start(process.execPath, ['--import', 'tsx', main, ...args], { env });
    running.push(child);
    let [stdout, stderr] = ['', ''];
    child.stdout?.on('data', (data) => (stdout += data));
    child.stderr?.on('data', (data) => (stderr += data));
    const ended = once(child, 'close').then(([code]) => ({ code: code as number | null, stdout, stderr }));
    return { child, ended };
  }

  it('cancels the remote command on Ctrl-C and exits 130', async () => {
    hub.onTask = (task) => {
      task.onCancel = () => task.write('STDOUT', 'bye').end('CANCELLED', { reason: 'CANCELLED' });
      task.write('STDOUT', 'hi ');
    };
    const { child, ended } = vmAgent('exec', 'dev', 'sleep', '100');
    child.stdout?.once('data', () => child.kill('SIGINT'));
    expect(await ended).deep.equal({ code: 130, stdout: 'hi bye', stderr: '' });
  });

  it('kills it on a second Ctrl-C', async () => {
    hub.onTask = (task) => {
      task.onCancel = (force) => force || child.kill('SIGINT');
      task.write('STDOUT', 'deaf');
    };
    const { child, ended } = vmAgent('exec', 'dev', 'sleep', '100');
    child.stdout?.once('data', () => child.kill('SIGINT'));
    expect((await ended).code).equal(130);
    expect([...hub.tasks.values()].map((task) => task.cancels)).deep.equal([[false, true]]);
  });

  it('ends quietly, and cancels, when the reader of its output goes away', async () => {
    hub.onTask = (task) => {
      const flood = setInterval(() => task.write('STDOUT', Buffer.alloc(60_000, 'x')), 1);
      task.onCancel = () => {
        clearInterval(flood);
        task.end('CANCELLED', { reason: 'CANCELLED' });
      };
    };
    const { child, ended } = vmAgent('exec', 'dev', 'yes');
    child.stdout?.once('data', () => child.stdout?.destroy());
    const { code, stderr } = await ended;
    expect([code, stderr]).deep.equal([141, '']);
    expect([...hub.tasks.values()].map((task) => task.cancels[0])).deep.equal([false]);
  });

  it('carries a shell over pipes and returns its exit code', async () => {
    hub.onShell = (call) => {
      call.on('data', ({ message }) => {
        if (message.$case === 'open') call.write(shellOutput(`${message.value.agent}$ `));
        if (message.$case === 'input' && String(message.value) === '\u0004') {
          call.write(shellExit(3), () => call.end());
        } else if (message.$case === 'input') call.write(shellOutput(String(message.value)));
      });
      call.on('end', () => call.end());
    };
    const { child, ended } = vmAgent('shell', 'dev');
    child.stdin?.end('echo hi\n');
    expect(await ended).deep.equal({ code: 3, stdout: 'dev$ echo hi\n', stderr: '' });
  });
});
