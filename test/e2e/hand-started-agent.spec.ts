import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { type RunningCommand, startCommand } from '../support/e2e/command.js';
import { HubProcess, ROOT } from '../support/e2e/hub-process.js';
import { at } from '../support/e2e/json-path.js';

describe('an agent that is started by hand', function () {
  this.timeout(60_000);
  let hub: HubProcess;
  let config: string;
  let agent: RunningCommand | undefined;

  before(async () => {
    hub = await HubProcess.start();
    const { json } = await hub.rest('POST', '/agents/register', { agentId: 'by-hand' });
    const home = join(hub.home, 'by-hand');
    await mkdir(home);
    config = join(home, 'config.json');
    const settings = {
      agentId: 'by-hand',
      token: at(json, 'token'),
      door: at(json, 'door'),
      home,
      stateDir: home,
    };
    await writeFile(config, JSON.stringify(settings), { mode: 0o600 });
  });
  after(async () => {
    agent?.child.kill('SIGTERM');
    await agent?.ended();
    await hub?.close();
  });

  function startAgent(): RunningCommand {
    const program = join(ROOT, 'dist', 'agent', 'agent.mjs');
    return startCommand(process.execPath, [program, '--config', config], { env: { PATH: process.env.PATH } });
  }

  it('runs what was posted before it came', async () => {
    const posted = await hub.rest('POST', '/agents/by-hand/task', { type: 'exec', command: 'pwd' });
    expect(posted.at('task.state')).to.equal('QUEUED');
    agent = startAgent();
    const task = await hub.ended(posted.at('taskId'));
    expect(at(task, 'outcome.stdoutTail')).to.equal(`${join(hub.home, 'by-hand')}\n`);
    expect((await hub.ok(['list', '--status', 'online'])).stdout).to.include('by-hand');
  });

  it('goes on while the hub is gone, and tells it later', async () => {
    const command = 'echo before; sleep 2; echo after';
    const posted = await hub.rest('POST', '/agents/by-hand/task', { type: 'exec', command });
    const follower = hub.startCli(['logs', 'by-hand', '--follow']);
    await follower.printed(/before/);
    await hub.crash();
    follower.child.kill('SIGKILL');
    await follower.ended();
    await hub.startAgain();
    const task = await hub.ended(posted.at('taskId'));
    expect(at(task, 'state')).to.equal('SUCCEEDED');
    expect(at(task, 'attempt')).to.equal(1);
    expect(at(task, 'outcome.stdoutTail')).to.equal('before\nafter\n');
  });

  it('leaves by SIGTERM with 0', async () => {
    agent?.child.kill('SIGTERM');
    expect((await agent?.ended(20_000))?.exitCode).to.equal(0);
    const status = await hub.rest('GET', '/agents/by-hand/status');
    expect(status.at('agent.status')).to.equal('offline');
  });

  it('is refused with the secret of another', async () => {
    const settings = { agentId: 'by-hand', token: '0'.repeat(64), door: `unix:${join(hub.home, 'no')}` };
    const door = (await hub.rest('POST', '/agents/register', { agentId: 'other' })).at('door');
    await writeFile(config, JSON.stringify({ ...settings, door, stateDir: join(hub.home, 'by-hand') }));
    agent = startAgent();
    await agent.printed(/the hub refuses this agent/);
    const status = await hub.rest('GET', '/agents/by-hand/status');
    expect(status.at('agent.status')).to.equal('offline');
  });
});
