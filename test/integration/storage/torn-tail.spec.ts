import { copyFileSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { silentLogger } from '../../../src/base/logger.js';
import { SegmentOutputLog } from '../../../src/store/output/segment-output-log.js';
import { Database } from '../../../src/store/sqlite/database.js';
import { SqliteStore } from '../../../src/store/sqlite/sqlite-store.js';
import { newAgent, newTask, WIDE } from '../../support/store-data.js';

const KEY = { task: 't1', attempt: 1, stream: 'STDOUT' } as const;

describe('a tail torn by a crash (fault case 125)', function () {
  this.timeout(60_000);
  let dir: string;
  let store: SqliteStore;

  beforeEach(async () => {
    dir = mkdtempSync(join(tmpdir(), 'torn-'));
    store = new SqliteStore({ path: join(dir, 'hub.db'), log: silentLogger });
    await store.open();
  });

  afterEach(async () => {
    await store.close();
    rmSync(dir, { recursive: true });
  });

  const walBytes = () => readFileSync(join(dir, 'hub.db-wal'));

  it('of the WAL: acknowledged commits are there, the torn one is there whole or not at all', async () => {
    await store.agents.create(newAgent('a'));
    await store.tasks.create(newTask('t1', { agent: 'a' }), WIDE);
    const acknowledged = walBytes().length;
    await store.tasks.create(newTask('t2', { agent: 'a' }), WIDE);
    const wal = walBytes();
    for (const cut of cuts(acknowledged, wal.length)) {
      const copy = join(dir, `${cut}.db`);
      copyFileSync(join(dir, 'hub.db'), copy);
      writeFileSync(`${copy}-wal`, wal.subarray(0, cut));
      const db = await Database.open(copy);
      const sql = `SELECT (SELECT group_concat(id) FROM tasks) AS ids, (SELECT tasks_received FROM agents) AS received,
        (SELECT max(last) FROM events) AS events`;
      const whole = cut === wal.length ? { ids: 't1,t2', received: 2, events: 2 } : ONE;
      expect({ ...db.get<object>(sql) }, `cut at ${cut} of ${wal.length}`).to.deep.equal(whole);
      db.close();
      if (cut < wal.length) rmSync(copy);
    }
    const cutStore = new SqliteStore({ path: join(dir, `${wal.length}.db`), log: silentLogger });
    await cutStore.open();
    await cutStore.tasks.create(newTask('t3', { agent: 'a' }), WIDE);
    expect(await cutStore.tasks.counts()).to.include({ queued: 3 });
    await cutStore.close();
  });

  it('of the last segment: durable output is there, the rest was never acknowledged and can be sent again', async () => {
    const output = join(dir, 'output');
    const open = async () => {
      const log = new SegmentOutputLog({ dir: output, index: store.outputIndex, log: silentLogger });
      await log.open();
      return log;
    };
    const append = (log: SegmentOutputLog, offset: number, text: string) =>
      log.append({ ...KEY, agent: 'a', offset, timeMs: 1, data: Buffer.from(text) });
    let log = await open();
    await append(log, 0, 'durable');
    const segment = join(output, (await readdir(output)).find((name) => name.endsWith('.log')) ?? '');
    const durable = readFileSync(segment);
    // What a batch looks like whose index was never committed.
    const torn = Buffer.concat([durable, durable.subarray(16), durable.subarray(16)]);
    for (let cut = durable.length; cut <= torn.length; cut += 1) {
      await log.close();
      writeFileSync(segment, torn.subarray(0, cut));
      log = await open();
      expect(statSync(segment).size).to.equal(durable.length);
      const { records } = await log.read({ scope: { task: 't1' }, after: 0, maxBytes: 2 ** 20 });
      expect(records.map(({ data }) => Buffer.from(data).toString())).to.deep.equal(['durable']);
    }
    expect(await append(log, 7, ' and more')).to.include({ nextOffset: 16, rewind: false });
    const { records } = await log.read({ scope: { task: 't1' }, after: 0, maxBytes: 2 ** 20 });
    expect(Buffer.concat(records.map(({ data }) => data)).toString()).to.equal('durable and more');
    await log.close();
  });
});

const ONE = { ids: 't1', received: 1, events: 1 };

/** Each of the first bytes, and around each border of frames; every 211th of the rest, which is page after page. */
function cuts(from: number, to: number): readonly number[] {
  const frame = 24 + 4096;
  return Array.from({ length: to - from + 1 }, (_, i) => i)
    .filter((i) => i < 100 || i % frame <= 32 || i % frame >= frame - 4 || i % 211 === 0 || from + i === to)
    .map((i) => from + i);
}
