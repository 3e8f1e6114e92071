import { createHash } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { runCommand } from '../support/e2e/command.js';
import { CLI, HubProcess } from '../support/e2e/hub-process.js';
import { at } from '../support/e2e/json-path.js';
import { processesNaming } from '../support/e2e/leftovers.js';
import { residentBytes } from '../support/e2e/memory.js';

const MIB = 1024 ** 2;

describe('output through exec', function () {
  this.timeout(240_000);
  let hub: HubProcess;

  before(async () => {
    hub = await HubProcess.start();
    await hub.ok(['create', 'writer', '--provider', 'local']);
  });
  after(() => hub?.close());

  it('carries 500 MB with an exact byte count while hub and agent stay small', async () => {
    const pids = [hub.pid, ...(await agentPids(hub))];
    expect(pids, 'hub, agent and keeper').to.have.length(3);
    const before = await residentBytes(pids);
    const counted = runCommand('sh', ['-c', `exec "$0" exec writer 'yes | head -c 500000000' | wc -c`, CLI], {
      env: hub.env,
      timeoutMs: 180_000,
    });
    const peaks = await sampleUntil(counted, pids);
    expect((await counted).stdout.trim()).to.equal('500000000');
    for (const [index, peak] of peaks.entries()) {
      const growth = (peak - (before[index] ?? 0)) / MIB;
      expect(growth, `growth of process ${index} in MiB`).to.be.below(160);
    }
  });

  it('is byte-exact in each stream', async () => {
    const script = `
      const { createHash } = require('crypto');
      const bytes = (seed) => Buffer.concat(Array.from({ length: 8192 }, (_, n) =>
        createHash('sha256').update(seed + n).digest()));
      process.stdout.write(bytes('out'));
      process.stderr.write(bytes('err'));`;
    const file = join(hub.home, 'binary.js');
    await writeFile(file, script);
    const expected = await runCommand(process.execPath, [file]);
    const result = await hub.cli(['exec', 'writer', '--', 'node', '-e', script]);
    expect(result.exitCode).to.equal(0);
    expect(digest(result.bytes)).to.equal(digest(expected.bytes));
    expect(digest(result.errorBytes)).to.equal(digest(expected.errorBytes));
  });

  it('keeps the order that was read between the streams', async () => {
    const script = 'for i in 1 2 3 4 5 6 7 8 9; do echo o$i; sleep 0.05; echo e$i >&2; sleep 0.05; done';
    const posted = await hub.rest('POST', '/agents/writer/task', {
      type: 'exec',
      command: script,
      wait: '30s',
    });
    const logs = await hub.rest('GET', `/tasks/${posted.at('taskId')}/logs`);
    const lines = logs.text.trim().split('\n');
    const texts = lines.map(
      (line) => (JSON.parse(line) as { result: { record: { text: string } } }).result.record.text,
    );
    expect(texts.join(' ')).to.equal('o1 e1 o2 e2 o3 e3 o4 e4 o5 e5 o6 e6 o7 e7 o8 e8 o9 e9');
  });

  it('stops within a second of a cancel in the middle of a flood', async () => {
    const mark = join(hub.home, 'flood');
    const flood = { type: 'exec', command: 'yes', env: { MARK: mark }, lane: 'flood' };
    const posted = await hub.rest('POST', '/agents/writer/task', flood);
    const id = String(posted.at('taskId'));
    // A second of flood, with a reader who wants all of it.
    const follower = hub.startCli(['logs', 'writer', '--follow']);
    await follower.printed(/y\ny/);
    await sleep(1000);
    follower.child.kill('SIGINT');
    await follower.ended();
    const cancelledMs = Date.now();
    const cancel = await hub.rest('POST', `/tasks/${id}:cancel`, {});
    expect(cancel.status).to.equal(200);
    while ((await processesNaming(mark)).length > 0) expect(Date.now() - cancelledMs).to.be.below(1000);
    // The task ends for its callers once the output that it had written is stored.
    const task = await hub.ended(id);
    expect(at(task, 'state')).to.equal('CANCELLED');
    expect(Date.parse(String(at(task, 'endTime'))) - cancelledMs).to.be.below(1000);
    expect(at(task, 'outcome.lostBytes')).to.equal('0');
  });
});

/** The programs of the hub's agents. */
async function agentPids(hub: HubProcess): Promise<number[]> {
  const pids = await processesNaming(hub.home);
  const programs = await Promise.all(
    pids.map(async (pid) => ({ pid, text: await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '') })),
  );
  return programs.filter(({ text }) => /^[^\0]*node\0[^\0]*agent\.mjs/.test(text)).map(({ pid }) => pid);
}

/** The most memory that each process had until a promise settles. */
async function sampleUntil(promise: Promise<unknown>, pids: readonly number[]): Promise<number[]> {
  let over = false;
  const settled = promise.then(
    () => undefined,
    () => undefined,
  );
  void settled.then(() => {
    over = true;
  });
  const peaks = pids.map(() => 0);
  while (!over) {
    for (const [index, bytes] of (await residentBytes(pids)).entries())
      peaks[index] = Math.max(peaks[index] ?? 0, bytes);
    await Promise.race([sleep(100), settled]);
  }
  return peaks;
}

function digest(bytes: Buffer): string {
  return `${bytes.length} bytes, sha256 ${createHash('sha256').update(bytes).digest('hex')}`;
}
