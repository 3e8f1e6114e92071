import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { expect } from 'chai';
import { FakeAgentDoor } from '../../support/fake-agent-door.js';

describe('agent program', () => {
  let dir: string;
  let hub: FakeAgentDoor;

  beforeEach(async () => {
    dir = mkdtempSync(join(tmpdir(), 'program-'));
    hub = new FakeAgentDoor();
    await hub.listen();
  });
  afterEach(() => {
    hub.close();
    rmSync(dir, { recursive: true, force: true });
  });

  function start(settings: object): ChildProcess {
    const config = join(dir, 'config.json');
    writeFileSync(config, JSON.stringify(settings), { mode: 0o600 });
    const args = ['--import', 'tsx', 'src/app/agent-main.ts', '--config', config];
    const env = { ...process.env, AGENT_TOKEN: 'from-env' };
    return spawn(process.execPath, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
  }

  const settings = () => ({ agentId: 'a', token: 's', door: hub.door, stateDir: 'state', home: 'home' });

  it('runs tasks without showing them its secret, and leaves at SIGTERM with what it ran reported', async () => {
    const child = start(settings());
    const exit = once(child, 'exit');
    await hub.sessions(1);
    const { outcome } = await hub.exec('t', 'echo [$AGENT_TOKEN]');
    expect(outcome?.stdoutTail).to.equal('[]\n');
    hub.assign('long', { type: 'exec', run: { command: 'echo up; sleep 600' } } as never);
    await hub.until(() => hub.size('long') > 0);
    child.kill('SIGTERM');
    expect(await exit).to.deep.equal([0, null]);
    expect(hub.reportsOf('long').at(-1)?.outcome?.reason).to.equal('AGENT_STOPPED');
  });

  it('names every bad setting and exits with 78', async () => {
    const child = start({ agentId: 'Not A Name', door: 7 });
    const [stderr, [code]] = await Promise.all([text(child.stderr as Readable), once(child, 'exit')]);
    expect(code).to.equal(78);
    expect(stderr).to.include('agentId').and.include('door');
  });
});
