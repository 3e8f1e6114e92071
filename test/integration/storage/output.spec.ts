import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { expect } from 'chai';
import { silentLogger } from '../../../src/base/logger.js';
import type { LogQuery } from '../../../src/hub/api.js';
import { HubError } from '../../../src/model/hub-error.js';
import { SegmentOutputLog } from '../../../src/store/output/segment-output-log.js';
import { SqliteStore } from '../../../src/store/sqlite/sqlite-store.js';
import { HubHarness } from '../../support/hub-harness.js';
import { ScriptedAgent } from '../../support/scripted-agent.js';

const MIB = 1024 * 1024;

describe('stored output', function () {
  this.timeout(60_000);

  it('with a flipped bit fails only the reads that meet it, and says where to go on (fault case 124)', async () => {
    const harness = await HubHarness.start();
    const agent = await ScriptedAgent.join(harness.hub, 'a');
    const query = (task: string, cursor?: string): LogQuery => {
      const rest = { follow: false, format: 'BYTES', streams: [], ...(cursor ? { cursor } : {}) } as const;
      return { scope: { task }, ...rest };
    };
    const read = async (task: string, cursor?: string) => {
      let text = '';
      for await (const entry of harness.hub.logs.stream(query(task, cursor), AbortSignal.timeout(5000)))
        text += Buffer.from(entry.data ?? '').toString();
      return text;
    };
    const bad = await harness.post('a');
    const good = await harness.post('a', { lane: 'other' });
    const works = [await agent.assignment(), await agent.assignment()];
    for (const work of works) agent.report(work, 'RUNNING');
    const output = agent.output();
    const write = async (task: string, offset: number, text: string) => {
      const work = works.find((one) => one.task === task);
      if (!work) throw new Error('not assigned');
      output.chunk(work, offset, text);
      await output.ack();
    };
    await write(bad.id, 0, 'damaged');
    await write(good.id, 0, 'whole');
    await write(bad.id, 7, ' and behind');
    const dir = join(harness.dir, 'output');
    const segment = join(dir, readdirSync(dir).find((name) => name.endsWith('.log')) ?? '');
    const file = await open(segment, 'r+');
    await file.write(Buffer.from('#'), 0, 1, 16 + 60);
    await file.close();
    const err = await read(bad.id).catch((thrown: unknown) => thrown);
    if (!(err instanceof HubError)) throw new Error(`no error, but ${String(err)}`);
    expect(err.reason).to.equal('STORE_CORRUPT');
    expect(err.message).to.include(`position ${err.metadata.position}`);
    expect(await read(bad.id, err.metadata.next)).to.equal(' and behind');
    expect(await read(good.id)).to.equal('whole');
    await harness.close();
  });

  it('is deleted by the GiB without stopping the hub; its followers are told (fault case 128)', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'retention-'));
    mkdirSync(join(dir, 'output'));
    const store = new SqliteStore({ path: join(dir, 'hub.db'), log: silentLogger });
    await store.open();
    const log = new SegmentOutputLog({
      dir: join(dir, 'output'),
      index: store.outputIndex,
      log: silentLogger,
    });
    await log.open();
    const data = Buffer.alloc(256 * 1024, 'x');
    const key = { task: 't', attempt: 1, stream: 'STDOUT', agent: 'a', timeMs: 1 } as const;
    const chunks = (from: number) =>
      Promise.all(
        Array.from({ length: 64 }, (_, i) => log.append({ ...key, data, offset: from + i * data.length })),
      );
    for (let at = 0; at < 1024 * MIB; at += 64 * data.length) await chunks(at);
    const [first] = (await log.read({ scope: { task: 't' }, after: 0, maxBytes: 1 })).records;
    const delay = monitorEventLoopDelay({ resolution: 1 });
    delay.enable();
    await log.expire({ maxBytes: 0, minTimeMs: 0 });
    delay.disable();
    expect(readdirSync(join(dir, 'output')).filter((name) => name.endsWith('.log'))).to.deep.equal([]);
    expect(delay.max / 1e6, 'longest stop in ms').to.be.below(100);
    const follower = log.read({ scope: { task: 't' }, after: first?.cursor ?? 0, maxBytes: 1 });
    expect(await follower.catch((err: HubError) => err.reason)).to.equal('LOG_EXPIRED');
    await log.close();
    await store.close();
    rmSync(dir, { recursive: true });
  });
});
