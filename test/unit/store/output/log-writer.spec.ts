import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { deferred } from '../../../../src/base/deferred.js';
import { silentLogger } from '../../../../src/base/logger.js';
import { LogWriter } from '../../../../src/store/output/log-writer.js';
import { fileIo, Segments } from '../../../../src/store/output/segments.js';
import { StreamStates } from '../../../../src/store/output/stream-states.js';
import { SqliteStore } from '../../../../src/store/sqlite/sqlite-store.js';

const MIB = 1024 * 1024;
const KEY = { task: 't1', attempt: 1, stream: 'STDOUT' } as const;

describe('LogWriter', () => {
  it('makes callers wait above 8 MiB, writes at most 4 MiB at once, and lets them go on', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'log-writer-'));
    const store = new SqliteStore({ path: join(dir, 'hub.db'), log: silentLogger });
    await store.open();
    try {
      const index = store.outputIndex;
      const [begun, gate] = [deferred(), deferred()];
      const writes: number[] = [];
      const io = {
        ...fileIo,
        write: async (...args: Parameters<typeof fileIo.write>) => {
          writes.push(args[1].length);
          begun.resolve();
          await gate.promise;
          await fileIo.write(...args);
        },
      };
      const segments = new Segments(join(dir, 'output'), 64 * MIB, io, silentLogger);
      await segments.open(0, 0);
      const streams = new StreamStates(index);
      const writer = new LogWriter({ segments, index, streams, end: 0, onDurable: () => {} });
      const stream = await streams.get(KEY);
      const data = Buffer.alloc(MIB / 4);
      const add = () => {
        const offset = stream.accepted.nextOffset;
        const record = { ...KEY, agent: 'a1', offset, timeMs: 1, data, gapBytes: 0 };
        writer.add(record, stream, { nextOffset: offset + data.length, lostBytes: 0 });
      };
      for (let i = 0; i < 31; i++) add();
      await writer.room();
      add();
      let waits = true;
      const room = writer.room().then(() => {
        waits = false;
      });
      await begun.promise;
      await store.check();
      expect(waits).to.equal(true);
      gate.resolve();
      await room;
      await writer.idle();
      expect(stream.durable.nextOffset).to.equal(8 * MIB);
      expect(Math.max(...writes)).to.be.at.most(4 * MIB);
      await segments.release();
    } finally {
      await store.close();
      await rm(dir, { recursive: true });
    }
  });
});
