import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import type { AttemptId } from '../../../src/agent/attempt-id.js';
import { Keeper } from '../../../src/agent/keeper/keeper.js';
import { KeeperClient } from '../../../src/agent/keeper/keeper-client.js';
import { dialKeeper } from '../../../src/agent/keeper/keeper-link.js';
import type { RunRequest } from '../../../src/agent/keeper/messages.js';
import { PROCESS_GROUP } from '../../../src/agent/kill-scope.js';
import { systemClock } from '../../../src/base/clock.js';
import { isLock, takeLock } from '../../../src/base/lock-file.js';
import { silentLogger } from '../../../src/base/logger.js';

describe('Keeper', () => {
  let dir: string;
  let keepers: Keeper[];
  const parts = { clock: systemClock, log: silentLogger };

  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'keeper-'));
    mkdirSync(join(dir, 'spool'));
    keepers = [];
  });
  afterEach(async () => {
    for (const keeper of keepers) await keeper.stop();
    rmSync(dir, { recursive: true, force: true });
  });

  async function start(more: object = {}): Promise<Keeper | undefined> {
    const keeper = await Keeper.start({ stateDir: dir, version: '1', ...parts, ...more });
    if (keeper !== undefined) keepers.push(keeper);
    return keeper;
  }

  function client(more: { version?: string; journalId?: string } = {}): KeeperClient {
    const { version = '1', journalId = 'j' } = more;
    const env = {
      baseEnv: { PATH: process.env.PATH ?? '' },
      uid: 0,
      allowSudo: false,
      node: process.execPath,
    };
    const settings = { home: dir, scope: PROCESS_GROUP, spoolLimits: {}, ...env };
    return new KeeperClient({
      stateDir: dir,
      version,
      hello: { journalId, former: [], settings },
      launch: async () => void (await start({ version })),
      onOutput: () => {},
      ...parts,
    });
  }

  const request = (task: string, command: string, timeoutMs = 60_000): RunRequest => ({
    task,
    attempt: 1,
    lane: 'default',
    stopLaneOnFailure: false,
    spec: { type: 'exec', run: { command }, env: {}, secrets: {}, timeoutMs, sudo: false },
  });
  const id = (task: string): AttemptId => ({ task, attempt: 1 });

  it('runs an attempt, and refuses it when it had it before', async () => {
    const agent = client();
    await agent.takeOver();
    const end = await agent.run(request('t', 'echo x >> ran; exit 5'));
    expect(end).to.have.nested.property('record.ending.exitCode', 5);
    agent.release(id('t'));
    expect(await agent.run(request('t', 'echo x >> ran'))).to.deep.equal({ type: 'lost' });
    expect(statSync(join(dir, 'ran')).size).to.equal(2);
    await agent.close(true);
  });

  it('listens for its user only', async () => {
    await start();
    expect(statSync(join(dir, 'keeper.sock')).mode & 0o777).to.equal(0o600);
  });

  it('is reached in a directory whose path is too long for a socket', async () => {
    const long = join(dir, 'x'.repeat(120));
    mkdirSync(join(long, 'spool'), { recursive: true });
    const keeper = await start({ stateDir: long });
    const link = await dialKeeper(long);
    expect(link).to.not.equal(undefined);
    link?.close();
    await keeper?.stop();
    expect(readdirSync(long)).to.deep.equal(['spool']);
  });

  it('is one for each directory', async () => {
    await start();
    expect(await start()).to.equal(undefined);
  });

  it('ends by itself when it has nothing to do, and not before', async () => {
    const keeper = await start({ idleMs: 50 });
    const agent = client();
    await agent.takeOver();
    const end = agent.run(request('t', 'until [ -e go ]; do sleep 0.01; done'));
    const quick = agent.run(request('quick', 'true'));
    await quick;
    await agent.close(true);
    let ended = false;
    void keeper?.ended.then(() => {
      ended = true;
    });
    await systemClock.sleep(150);
    expect(ended).to.equal(false);
    mkdirSync(join(dir, 'go'));
    await keeper?.ended;
    expect(existsSync(join(dir, 'spool', 't~1', 'exit'))).to.equal(true);
    expect(existsSync(join(dir, 'keeper.sock'))).to.equal(false);
    void end;
  });

  it('goes on with what runs when another agent comes, and hears no other any more', async () => {
    const [first, second] = [client(), client()];
    await first.takeOver();
    void first.run(request('t', 'echo up; sleep 600'));
    await first.run(request('other', 'true'));
    await first.close(false);
    const found = (await second.takeOver()).attempts;
    expect(found.map(({ attempt }) => attempt.task)).to.have.members(['t', 'other']);
    second.stop(id('t'), 'CANCELLED', true);
    const end = await found.find(({ attempt }) => attempt.task === 't')?.end;
    expect(end).to.have.nested.property('record.ending.reason', 'CANCELLED');
    await second.close(true);
  });

  it('kills what an agent with another journal began', async () => {
    const [first, second] = [client(), client({ journalId: 'k' })];
    await first.takeOver();
    void first.run(request('t', 'sleep 600'));
    await first.run(request('other', 'true'));
    await first.close(false);
    expect((await second.takeOver()).attempts).to.deep.equal([]);
    await second.close(true);
  });

  it('is replaced by one of the new version as soon as nothing runs', async () => {
    const [old, upgraded] = [client(), client({ version: '2' })];
    await old.takeOver();
    await old.run(request('a', 'true'));
    await old.close(false);
    await upgraded.takeOver();
    const end = await upgraded.run(request('b', 'true'));
    expect(end).to.have.nested.property('record.ending.state', 'SUCCEEDED');
    expect(keepers).to.have.lengthOf(2);
    await upgraded.close(true);
  });

  it('freezes what runs, and lets it go on when the agent goes', async () => {
    const agent = client();
    await agent.takeOver();
    void agent.run(request('t', 'until [ -e go ]; do sleep 0.01; done; touch gone'));
    await agent.run(request('other', 'true'));
    expect(await agent.freeze()).to.equal(true);
    await agent.close(false);
    mkdirSync(join(dir, 'go'));
    while (!existsSync(join(dir, 'gone'))) await systemClock.sleep(5);
  });

  it('leaves its lock when it is over', async () => {
    const agent = client();
    await agent.takeOver();
    await agent.run(request('t', 'true'));
    await agent.close(true);
    const lock = await takeLock(join(dir, 'keeper.lock'));
    expect(isLock(lock)).to.equal(true);
    if (isLock(lock)) await lock.close();
  });
});
