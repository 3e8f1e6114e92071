import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { silentLogger } from '../../../src/base/logger.js';
import { HubError } from '../../../src/model/hub-error.js';
import { emptyOutcome } from '../../../src/model/task.js';
import { recoverDatabase } from '../../../src/store/sqlite/recover-database.js';
import { SqliteStore } from '../../../src/store/sqlite/sqlite-store.js';
import { newAgent, newTask, WIDE } from '../../support/store-data.js';

const TASKS = 120;
const FLIPS = 60;

/** Everything that a hub reads of its store, or STORE_CORRUPT where it is refused. */
type Content = ReadonlyMap<string, string>;

describe('a database with a flipped bit (fault case 124)', function () {
  this.timeout(60_000);
  let dir: string;
  let good: string;
  let content: Content;

  before(async () => {
    dir = mkdtempSync(join(tmpdir(), 'damaged-'));
    good = join(dir, 'good.db');
    const store = await open(good);
    await store.agents.create(newAgent('a'));
    await store.agents.openSession('a', { ...HELLO, atMs: 1 });
    for (let n = 0; n < TASKS; n += 1) {
      const labels = { text: `label ${n} `.repeat(20) };
      await store.tasks.create(newTask(id(n), { agent: 'a', labels }), WIDE);
    }
    const claim = {
      agent: 'a',
      sessionGeneration: 1,
      capabilities: [],
      window: 60,
      laneWidth: 60,
      slots: 60,
    };
    for (const task of await store.tasks.claim({ ...claim, nowMs: 5 })) {
      const end = { type: 'ended', attempt: 1, state: 'SUCCEEDED', endMs: 9 } as const;
      await store.tasks.apply(task.id, { ...end, outcome: emptyOutcome('EXITED') }, { nowMs: 9 });
    }
    await store.close();
    content = await readAll(await open(good));
  });

  after(() => rmSync(dir, { recursive: true }));

  it('is refused, or answers what was stored and refuses the damaged record; never anything else', async () => {
    let found = 0;
    await eachFlip(readFileSync(good), async (path, at) => {
      const store = await open(path).catch((err: unknown) => expectRefusal(err, path));
      if (!store) found += 1;
      else found += differences(await readAll(store), at);
    });
    expect(found, 'flips that were noticed').to.be.greaterThan(FLIPS / 4);
  });

  it('is made anew with all that can be read, and tells what is lost', async () => {
    await eachFlip(readFileSync(good), async (path, at) => {
      const { lost, keptAs } = await recoverDatabase(path, 1);
      const after = await readAll(await open(path));
      for (const [name, value] of content) {
        if (after.get(name) === value || name === 'counts') continue;
        expect(after.get(name), `${name} after a flip at ${at}`).to.equal('TASK_NOT_FOUND');
        expect(JSON.stringify(lost)).to.include(name);
      }
      if (keptAs === undefined) expect(after).to.deep.equal(content);
      else expect(readFileSync(keptAs).equals(flipped(readFileSync(good), at))).to.equal(true);
    });
  });

  it('in the write-ahead log: is refused when commits behind it were acknowledged', async () => {
    const path = join(dir, 'wal.db');
    const store = await open(path);
    for (let n = 0; n < 6; n += 1) await store.values.set(`key ${n}`, `value ${n}`);
    const wal = readFileSync(`${path}-wal`);
    const frame = 24 + 4096;
    const acknowledged = wal.length - 2 * frame;
    const copy = join(dir, 'wal-flip.db');
    for (let at = 3; at < acknowledged; at += 997) {
      rmSync(`${copy}-shm`, { force: true });
      copyFileSync(path, copy);
      writeFileSync(`${copy}-wal`, flipped(wal, at));
      const refusal = await open(copy).catch((err: unknown) => err);
      expect(refusal, `flip at ${at} of ${wal.length}`).to.be.instanceOf(HubError);
      expectRefusal(refusal, copy);
    }
    await recoverDatabase(copy, 7);
    await (await open(copy)).close();
    expect(await readdir(dir)).to.include('wal-flip.db.damaged-7');
    await store.close();
  });

  /** A copy for every flip, at places and bits that are the same in each run. */
  const eachFlip = async (bytes: Buffer, work: (path: string, at: number) => Promise<void>) => {
    for (let n = 0; n < FLIPS; n += 1) {
      const at = Math.floor(((n + 0.5) / FLIPS) * bytes.length) + ((n * 37) % 64);
      const path = join(dir, `flip-${Math.random()}.db`);
      writeFileSync(path, flipped(bytes, at));
      await work(path, at);
      rmSync(path);
    }
  };

  /** Answers 1 when something is refused. */
  const differences = (found: Content, at: number): number => {
    let refused = 0;
    for (const [name, value] of content) {
      const now = found.get(name);
      if (now === 'STORE_CORRUPT') refused = 1;
      else expect(now, `${name} after a flip at ${at}`).to.equal(value);
    }
    return refused;
  };
});

const HELLO = { journalId: 'j', journalSequence: 0, vmGeneration: 1, version: '1', capabilities: [] };

async function open(path: string): Promise<SqliteStore> {
  const store = new SqliteStore({ path, log: silentLogger });
  await store.open();
  return store;
}

function expectRefusal(err: unknown, path: string): undefined {
  expect(err).to.have.property('reason', 'STORE_CORRUPT');
  expect(err).to.have.nested.property('codes.exit', 65);
  expect(String(err)).to.include(path).and.include('hub --recover');
}

function id(n: number): string {
  return `task-${String(n).padStart(4, '0')}`;
}

function flipped(bytes: Buffer, at: number): Buffer {
  const copy = Buffer.from(bytes);
  copy.writeUInt8(copy.readUInt8(at) ^ (1 << (at % 8)), at);
  return copy;
}

async function readAll(store: SqliteStore): Promise<Content> {
  const read = async (work: () => Promise<unknown>) =>
    work().then(
      (value) => JSON.stringify(value) ?? 'TASK_NOT_FOUND',
      (err: unknown) => HubError.from(err).reason,
    );
  const content = new Map<string, string>();
  for (let n = 0; n < TASKS; n += 1) content.set(id(n), await read(() => store.tasks.get(id(n))));
  content.set('counts', await read(() => store.tasks.counts()));
  await store.close();
  return content;
}
