import { appendFile, mkdtemp, open, readdir, rm, stat, truncate } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { silentLogger } from '../../../../src/base/logger.js';
import { emptyOutcome } from '../../../../src/model/task.js';
import { SegmentOutputLog } from '../../../../src/store/output/segment-output-log.js';
import { fileIo, type SegmentIo } from '../../../../src/store/output/segments.js';
import { SqliteStore } from '../../../../src/store/sqlite/sqlite-store.js';
import { newTask, WIDE } from '../../../support/store-data.js';

const KEY = { task: 't1', attempt: 1, stream: 'STDOUT' } as const;

describe('SegmentOutputLog on a bad disk', () => {
  let dir: string;
  let store: SqliteStore;
  let log: SegmentOutputLog;
  let io: SegmentIo;

  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'segments-'));
    store = new SqliteStore({ path: join(dir, 'hub.db'), log: silentLogger });
    await store.open();
    io = fileIo;
    await openLog();
  });

  afterEach(async () => {
    await log.close();
    await store.close();
    await rm(dir, { recursive: true });
  });

  const output = () => join(dir, 'output');
  const openLog = async () => {
    const through: SegmentIo = { write: (...args) => io.write(...args), sync: (file) => io.sync(file) };
    const options = {
      dir: output(),
      index: store.outputIndex,
      log: silentLogger,
      segmentBytes: 4096,
      io: through,
    };
    log = new SegmentOutputLog(options);
    await log.open();
  };
  const append = (offset: number, text: string, task = 't1') =>
    log.append({ ...KEY, task, agent: `agent-of-${task}`, offset, timeMs: 1, data: Buffer.from(text) });
  const read = async (after = 0, task = 't1') => {
    const { records } = await log.read({ scope: { task }, after, maxBytes: 1 << 20 });
    return records.map(({ data }) => Buffer.from(data).toString());
  };
  const segments = async () => (await readdir(output())).filter((name) => name.endsWith('.log')).sort();
  const lastSegment = async () => join(output(), (await segments()).at(-1) ?? '');
  const damage = async (path: string, at: number) => {
    const file = await open(path, 'r+');
    await file.write(Buffer.from('###'), 0, 3, at);
    await file.close();
  };
  const reasonOf = (call: Promise<unknown>) =>
    call.then(
      () => 'none',
      (err: { reason?: string }) => err.reason,
    );

  it('keeps directory and files to their owner', async () => {
    await append(0, 'a');
    expect((await stat(output())).mode & 0o777).to.equal(0o700);
    expect((await stat(await lastSegment())).mode & 0o777).to.equal(0o600);
  });

  it('cuts off what a crash left behind the durable length', async () => {
    await append(0, 'good');
    await log.close();
    const { size } = await stat(await lastSegment());
    await appendFile(await lastSegment(), Buffer.alloc(5000, 'torn'));
    await appendFile(join(output(), '0000000000009999.log'), 'made, but never used');
    await openLog();
    expect((await stat(await lastSegment())).size).to.equal(size);
    expect(await segments()).to.have.length(1);
    await append(4, 'more');
    expect(await read()).to.deep.equal(['good', 'more']);
  });

  it('fails only the reads that meet a damaged record', async () => {
    await append(0, 'damaged');
    await append(0, 'other', 't2');
    await append(7, 'x'.repeat(5000));
    await append(5007, 'later');
    await damage(join(output(), '0000000000000000.log'), 16 + 60);
    const err = await read().catch((thrown: unknown) => thrown);
    expect(err).to.include({ reason: 'STORE_CORRUPT' });
    expect(err).to.have.nested.property('metadata.position', '16');
    const next = Number((err as { metadata: Record<string, string> }).metadata.next);
    expect((await read(next)).at(-1)).to.equal('later');
    expect(await read(0, 't2')).to.deep.equal(['other']);
    await append(5012, 'new');
    await log.close();
    await openLog();
    expect((await read(next)).at(-1)).to.equal('new');
  });

  it('goes on in a new segment when stored output is missing', async () => {
    await append(0, 'lost');
    await log.close();
    await truncate(await lastSegment(), 30);
    await openLog();
    await append(4, 'kept', 't1');
    await append(0, 'fine', 't2');
    expect(await segments()).to.have.length(2);
    expect(await reasonOf(read())).to.equal('STORE_CORRUPT');
    expect(await read(0, 't2')).to.deep.equal(['fine']);
  });

  it('says STORE_CORRUPT when a segment is gone', async () => {
    await append(0, 'lost');
    await rm(await lastSegment());
    expect(await reasonOf(read())).to.equal('STORE_CORRUPT');
  });

  it('says DISK_FULL, leaves the streams where they were and goes on by itself', async () => {
    await append(0, 'one');
    io = { ...fileIo, write: (file, bytes, at) => fileIo.write(file, bytes.subarray(0, 9), at).then(full) };
    const calls = [append(3, 'two'), append(6, 'three'), append(0, 'other', 't2')];
    for (const call of calls) expect(await reasonOf(call)).to.equal('DISK_FULL');
    expect(await reasonOf(log.check())).to.equal('DISK_FULL');
    expect(await log.progress(KEY)).to.include({ nextOffset: 3 });
    expect(await append(6, 'three')).to.include({ nextOffset: 3, rewind: true });
    io = fileIo;
    await log.check();
    expect(await append(3, 'two')).to.include({ nextOffset: 6, rewind: false });
    expect(await read()).to.deep.equal(['one', 'two']);
    await log.close();
    await openLog();
    expect(await read()).to.deep.equal(['one', 'two']);
  });

  it('survives a disk that is full when a segment begins', async () => {
    io = { ...fileIo, write: async () => full() };
    expect(await reasonOf(append(0, 'a'))).to.equal('DISK_FULL');
    io = { ...fileIo, write: async (file, bytes, at) => (at === 0 ? fileIo.write(file, bytes, at) : full()) };
    expect(await reasonOf(append(0, 'a'))).to.equal('DISK_FULL');
    io = fileIo;
    await append(0, 'a');
    await append(1, 'b');
    expect(await read()).to.deep.equal(['a', 'b']);
  });

  it('forgets streams with their last record, unless their task may go on', async () => {
    await store.tasks.create(newTask('t1'), WIDE);
    await append(0, 'live');
    await append(0, 'gone', 't2');
    await log.expire({ maxBytes: 0, minTimeMs: 0 });
    await log.close();
    await openLog();
    expect(await log.progress(KEY)).to.include({ nextOffset: 4 });
    expect(await log.progress({ ...KEY, task: 't2' })).to.include({ nextOffset: 0 });
    const outcome = emptyOutcome('CANCELLED');
    await store.tasks.apply('t1', { type: 'cancel', atMs: 1, outcome }, { nowMs: 1 });
    await append(0, 'x', 't3');
    await log.expire({ maxBytes: 0, minTimeMs: 0 });
    await log.close();
    await openLog();
    expect(await log.progress(KEY)).to.include({ nextOffset: 0 });
  });
});

function full(): never {
  throw Object.assign(new Error('no space left on device'), { code: 'ENOSPC' });
}
