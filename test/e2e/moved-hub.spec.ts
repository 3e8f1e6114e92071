import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { type RunningCommand, runCommand, startCommand } from '../support/e2e/command.js';
import { freePorts } from '../support/e2e/free-ports.js';
import { HubProcess, ROOT } from '../support/e2e/hub-process.js';
import { at } from '../support/e2e/json-path.js';

/** Runs the rest of its arguments with a file of its own as /etc/hosts. */
const WITH_HOSTS = 'mount --bind "$1" /etc/hosts; shift; exec "$@"';
const AGENT = join(ROOT, 'dist', 'agent', 'agent.mjs');

describe('a hub that moves to another address (fault case 119)', function () {
  this.timeout(60_000);
  let dir: string;
  let hub: HubProcess | undefined;
  let agent: RunningCommand | undefined;

  before(async function () {
    const probe = await runCommand('unshare', ['--mount', '--', 'true']);
    if (probe.exitCode !== 0) {
      process.stderr.write('SKIPPED: a hub that moves, which needs root for a hosts file of its own\n');
      this.skip();
    }
    dir = await mkdtemp(join(tmpdir(), 'moved-hub-'));
    for (const name of ['home', 'agent']) await mkdir(join(dir, name));
  });

  after(async () => {
    agent?.child.kill('SIGTERM');
    await agent?.ended();
    await hub?.close();
    if (dir) await rm(dir, { recursive: true, force: true });
  });

  /** Where the agent finds `hub.test` from now on. */
  const hubIsAt = (address: string) => writeFile(join(dir, 'hosts'), `${address} hub.test\n`);

  const startHub = (address: string, port: number) =>
    HubProcess.start({ home: join(dir, 'home'), env: { VM_AGENT_DOOR: `${address}:${port}` } });

  it('is found there by an agent that knows only its name', async () => {
    const [port = 0] = await freePorts(1);
    await hubIsAt('127.0.0.1');
    hub = await startHub('127.0.0.1', port);
    const token = String((await hub.rest('POST', '/agents/register', { agentId: 'far' })).at('token'));
    const settings = { agentId: 'far', token, door: `hub.test:${port}`, stateDir: join(dir, 'agent') };
    const config = join(dir, 'config.json');
    await writeFile(config, JSON.stringify(settings), { mode: 0o600 });
    const argv = [WITH_HOSTS, 'sh', join(dir, 'hosts'), process.execPath, AGENT, '--config', config];
    agent = startCommand('unshare', ['--mount', '--', 'sh', '-c', ...argv]);
    await works(hub);
    await hub.crash();
    await hubIsAt('127.0.0.2');
    hub = await startHub('127.0.0.2', port);
    await works(hub);
  });

  async function works(running: HubProcess): Promise<void> {
    const task = { type: 'exec', command: 'echo here', wait: '30s' };
    const { json } = await running.rest('POST', '/agents/far/task', task);
    expect(at(json, 'task.state'), JSON.stringify(json)).to.equal('SUCCEEDED');
  }
});
