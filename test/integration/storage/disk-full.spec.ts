import { cpSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import type { Task } from '../../../src/model/task.js';
import { HubHarness } from '../../support/hub-harness.js';
import { RealAgent } from '../../support/real-agent.js';
import { execSpec } from '../../support/samples.js';
import { SmallDisk } from '../../support/small-disk.js';

const LINES = 3000;
/** Numbered lines over some seconds, with some bulk in them. */
const PRINT = `i=0; while [ $i -lt ${LINES} ]; do i=$((i+1)); printf '%06d %0400d\\n' $i 0; [ $((i%30)) = 0 ] && sleep 0.02; done`;

describe('a hub whose disk is full (fault case 121)', function () {
  this.timeout(60_000);
  let disk: SmallDisk;
  let harness: HubHarness;
  let agent: RealAgent;

  before(function () {
    if (!SmallDisk.possible) this.skip();
  });

  beforeEach(async () => {
    disk = new SmallDisk(16);
    harness = await HubHarness.start({ outputDeadlineMs: 4500 }, disk.dir);
    agent = await RealAgent.join(harness);
  });

  afterEach(async () => {
    disk.clear();
    await agent.close();
    await harness.stop();
    disk[Symbol.dispose]();
  });

  const accept = async (command: string, lane = 'default') =>
    (await harness.post('dev', { spec: execSpec(command), lane })).id;
  const ended = (id: string): Promise<Task> =>
    harness.hub.tasks.wait(id, 20_000, AbortSignal.timeout(30_000));
  const read = async (task: string, follow = false) => {
    const parts: Uint8Array[] = [];
    const query = { scope: { task }, follow, streams: [], format: 'BYTES' } as const;
    for await (const entry of harness.hub.logs.stream(query, AbortSignal.timeout(40_000)))
      parts.push(entry.data ?? new Uint8Array());
    return Buffer.concat(parts).toString();
  };
  const expected = Array.from(
    { length: LINES },
    (_, i) => `${String(i + 1).padStart(6, '0')} ${'0'.repeat(400)}\n`,
  ).join('');
  /** Takes all the room, and submits until the hub refuses. Answers what was accepted. */
  const fillUp = async () => {
    const accepted: string[] = [];
    for (let refused = false; !refused; ) {
      disk.fill();
      await accept(`true ${'x'.repeat(20_000)}`, 'later').then(
        (id) => accepted.push(id),
        (err: { reason?: string }) => {
          expect(err.reason).to.equal('DISK_FULL');
          refused = true;
        },
      );
    }
    return accepted;
  };

  it('refuses new tasks, goes on reading, and takes up everything by itself when there is room', async () => {
    const before = await accept('echo before');
    await ended(before);
    const running = await accept(PRINT);
    const following = read(running, true);
    while ((await harness.hub.tasks.get(running)).task.state !== 'RUNNING') await sleep(20);
    const appends = countAppends(harness);
    const { generation } = sessionOf(harness);
    const accepted = await fillUp();
    await sleep(6000);
    expect(await read(before)).to.equal('before\n');
    expect((await harness.hub.tasks.get(running)).task.state).to.equal('RUNNING');
    const health = await harness.hub.admin.health();
    expect(health.healthy).to.equal(false);
    expect(appends.count, 'appends while nothing can be stored').to.be.below(400);
    const freed = Date.now();
    disk.clear();
    while ((await accept('true', 'later').catch(() => undefined)) === undefined) await sleep(50);
    expect(Date.now() - freed, 'ms until it accepts').to.be.below(10_000);
    const { state, outcome } = await ended(running);
    expect({ state, lost: outcome?.lostBytes }).to.deep.equal({ state: 'SUCCEEDED', lost: 0 });
    expect(await following).to.equal(expected);
    for (const id of accepted) expect((await ended(id)).state).to.equal('SUCCEEDED');
    expect(sessionOf(harness).generation, 'no session was lost').to.equal(generation);
  });

  it('leaves files, at the moment of a kill, in which everything acknowledged is', async () => {
    const running = await accept(PRINT);
    while ((await read(running)).length < 50_000) await sleep(20);
    const accepted = await fillUp();
    const stored = await read(running);
    const copy = mkdtempSync(join(tmpdir(), 'killed-'));
    cpSync(disk.dir, copy, { recursive: true, filter: (path) => !path.includes('filler-') });
    const after = await HubHarness.start({}, copy);
    const { records } = await after.ctx.output.read({
      scope: { task: running },
      after: 0,
      maxBytes: 2 ** 30,
    });
    const kept = Buffer.concat(records.map(({ data }) => data)).toString();
    expect(kept.startsWith(stored)).to.equal(true);
    expect(expected.startsWith(kept)).to.equal(true);
    for (const id of accepted) expect((await after.hub.tasks.get(id)).task.id).to.equal(id);
    await after.close();
  });
});

function countAppends({ ctx }: HubHarness): { count: number } {
  const counter = { count: 0 };
  const { output } = ctx;
  const append = output.append.bind(output);
  output.append = (chunk) => {
    counter.count += 1;
    return append(chunk);
  };
  return counter;
}

function sessionOf({ hub }: HubHarness): { readonly generation: number } {
  const { sessions } = hub as unknown as {
    sessions: { get(id: string): { generation: number } | undefined };
  };
  return sessions.get('dev') ?? { generation: -1 };
}
