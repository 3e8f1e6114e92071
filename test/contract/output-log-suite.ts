import { expect } from 'chai';
import type { OutputLog, OutputScope } from '../../src/hub/output-log.js';
import { HubError } from '../../src/model/hub-error.js';
import type { OutputChunk, OutputRecord } from '../../src/model/output.js';

/** Makes output logs over the same data: a second one, opened after the first was closed, finds what it left. */
export type OutputLogFactory = () => Promise<{
  readonly open: () => Promise<OutputLog>;
  /** Bytes after which the log may delete the oldest part. */
  readonly segmentBytes: number;
  readonly cleanUp: () => Promise<void>;
}>;

const TASK: OutputScope = { task: 't1' };
const STDOUT = { task: 't1', attempt: 1, stream: 'STDOUT' } as const;
const STDERR = { task: 't1', attempt: 1, stream: 'STDERR' } as const;
const EVERYTHING = 1024 * 1024 * 1024;

/** What every OutputLog must do. */
export function outputLogSuite(name: string, factory: OutputLogFactory): void {
  describe(`${name} as an OutputLog`, () => {
    let made: Awaited<ReturnType<OutputLogFactory>>;
    let log: OutputLog;

    beforeEach(async () => {
      made = await factory();
      log = await made.open();
    });

    afterEach(async () => {
      await log.close();
      await made.cleanUp();
    });

    const reopen = async () => {
      await log.close();
      log = await made.open();
    };
    const readAll = async (scope: OutputScope = TASK, after = 0, maxBytes = 1): Promise<OutputRecord[]> => {
      const records: OutputRecord[] = [];
      for (let position = after; ; ) {
        const page = await log.read({ scope, after: position, maxBytes });
        records.push(...page.records);
        position = page.next;
        if (page.atEnd) return records;
      }
    };

    describe('append', () => {
      it('stores chunks in the order in which they came, between the streams too', async () => {
        await log.append(chunk(STDOUT, 0, 'one'));
        const progress = await log.append(chunk(STDERR, 0, 'err'));
        expect(progress).to.deep.equal({ ...STDERR, nextOffset: 3, rewind: false });
        await log.append(chunk(STDOUT, 3, 'two'));
        const records = await readAll();
        expect(records.map(({ stream, offset, data }) => [stream, offset, text(data)])).to.deep.equal([
          ['STDOUT', 0, 'one'],
          ['STDERR', 0, 'err'],
          ['STDOUT', 3, 'two'],
        ]);
        expect(records[0]).to.deep.include({ ...STDOUT, agent: 'a1', timeMs: 1234.5, gapBytes: 0 });
      });

      it('takes chunks without waiting between them', async () => {
        const offsets = Array.from({ length: 300 }, (_, i) => i);
        await Promise.all(offsets.map((i) => log.append(chunk(STDOUT, i * 2, 'ab'))));
        expect((await readAll()).map(({ offset }) => offset)).to.deep.equal(offsets.map((i) => i * 2));
      });

      it('keeps every byte of binary data and of long chunks', async () => {
        const data = Buffer.alloc(1_000_000, 'x\r\n\0\xff\u00e4', 'latin1');
        await log.append({ ...chunk(STDOUT, 0, ''), data });
        await reopen();
        const stored = Buffer.concat((await readAll(TASK, 0, 300_000)).map((record) => record.data));
        expect(stored.equals(data)).to.equal(true);
      });

      it('drops what is stored already and keeps what is new of an overlap', async () => {
        await log.append(chunk(STDOUT, 0, 'abcd'));
        expect(await log.append(chunk(STDOUT, 0, 'abcd'))).to.include({ nextOffset: 4, rewind: false });
        expect(await log.append(chunk(STDOUT, 2, 'cdef'))).to.include({ nextOffset: 6, rewind: false });
        expect(texts(await readAll())).to.deep.equal(['abcd', 'ef']);
      });

      it('asks for what is missing in front of a chunk', async () => {
        await log.append(chunk(STDOUT, 0, 'ab'));
        expect(await log.append(chunk(STDOUT, 5, 'x'))).to.deep.equal({
          ...STDOUT,
          nextOffset: 2,
          rewind: true,
        });
        expect(await log.append(chunk(STDOUT, 2, 'cd'))).to.include({ nextOffset: 4, rewind: false });
      });

      it('stores gaps, and counts them', async () => {
        await log.append(chunk(STDOUT, 0, 'ab'));
        const gap = { ...STDOUT, agent: 'a1', offset: 2, bytes: 10 };
        expect(await log.appendGap(gap)).to.include({ nextOffset: 12, rewind: false });
        expect(await log.appendGap(gap)).to.include({ nextOffset: 12 });
        expect(await log.appendGap({ ...gap, offset: 50 })).to.include({ nextOffset: 12, rewind: true });
        await log.append(chunk(STDOUT, 12, 'cd'));
        await log.appendGap({ ...STDERR, agent: 'a1', offset: 0, bytes: 3 });
        const records = await readAll();
        expect(records.map(({ offset, gapBytes }) => [offset, gapBytes])).to.deep.equal([
          [0, 0],
          [2, 10],
          [12, 0],
          [0, 3],
        ]);
        expect(await log.lostBytes('t1', 1)).to.equal(13);
        expect(await log.lostBytes('t1', 2)).to.equal(0);
      });

      it('keeps attempts apart', async () => {
        await log.append(chunk(STDOUT, 0, 'first'));
        await log.append(chunk({ ...STDOUT, attempt: 2 }, 0, 'second'));
        expect((await readAll()).map(({ attempt }) => attempt)).to.deep.equal([1, 2]);
        expect(await log.progress(STDOUT)).to.include({ nextOffset: 5 });
        expect(await log.progress({ ...STDOUT, attempt: 2 })).to.include({ nextOffset: 6 });
        expect(await log.progress(STDERR)).to.include({ nextOffset: 0, rewind: false });
      });

      it('goes on where it was after a restart', async () => {
        await log.append(chunk(STDOUT, 0, 'abc'));
        await log.appendGap({ ...STDERR, agent: 'a1', offset: 0, bytes: 3 });
        const end = log.end();
        await reopen();
        expect(log.end()).to.equal(end);
        expect(await log.progress(STDOUT)).to.include({ nextOffset: 3 });
        expect(await log.lostBytes('t1', 1)).to.equal(3);
        expect(await log.append(chunk(STDOUT, 9, 'x'))).to.include({ nextOffset: 3, rewind: true });
        await log.append(chunk(STDOUT, 3, 'def'));
        expect(texts(await readAll())).to.deep.equal(['abc', '', 'def']);
      });

      it('stores what was taken in before it closes, and refuses calls afterwards', async () => {
        const pending = log.append(chunk(STDOUT, 0, 'abc'));
        await reopen();
        expect(await pending).to.include({ nextOffset: 3 });
        expect(texts(await readAll())).to.deep.equal(['abc']);
        await log.check();
        await log.close();
        await log.close();
        await refuses('ILLEGAL_STATE', async () => log.append(chunk(STDOUT, 3, 'x')));
      });
    });

    describe('read', () => {
      it('reads one task or all tasks of an agent', async () => {
        await Promise.all([
          log.append(chunk(STDOUT, 0, 'a')),
          log.append({ ...chunk({ ...STDOUT, task: 't2' }, 0, 'b'), agent: 'a2' }),
          log.append(chunk({ ...STDOUT, task: 't3' }, 0, 'c')),
          log.append(chunk(STDOUT, 1, 'd')),
        ]);
        expect(texts(await readAll())).to.deep.equal(['a', 'd']);
        expect(texts(await readAll({ agent: 'a1' }))).to.deep.equal(['a', 'c', 'd']);
        expect(texts(await readAll({ agent: 'a2' }))).to.deep.equal(['b']);
        expect(await log.read({ scope: { task: 'none' }, after: 0, maxBytes: 9 })).to.deep.equal({
          records: [],
          next: log.end(),
          atEnd: true,
        });
      });

      it('goes on behind any record', async () => {
        for (let i = 0; i < 5; i++) await log.append(chunk(STDOUT, i, String(i)));
        const records = await readAll();
        for (const [i, { cursor }] of records.entries()) {
          expect(texts(await readAll(TASK, cursor))).to.deep.equal(['0', '1', '2', '3', '4'].slice(i + 1));
        }
      });

      it('begins with the next whole record when a cursor lies inside one', async () => {
        await log.append(chunk(STDOUT, 0, 'abc'));
        await log.append(chunk(STDOUT, 3, 'def'));
        const [first] = await readAll();
        expect(texts(await readAll(TASK, (first?.cursor ?? 0) + 5))).to.deep.equal(['def']);
      });

      it('answers pages of about the size asked for', async () => {
        const data = 'x'.repeat(1000);
        await Promise.all(Array.from({ length: 50 }, (_, i) => log.append(chunk(STDOUT, i * 1000, data))));
        const page = await log.read({ scope: TASK, after: 0, maxBytes: 10_000 });
        expect(page.atEnd).to.equal(false);
        expect(page.records.length).to.be.within(5, 11);
        expect((await readAll(TASK, page.next)).length).to.equal(50 - page.records.length);
      });

      it('wakes followers when records became durable', async () => {
        const woken = new Promise<number>((resolve) => {
          const listening = log.listen(() => {
            listening[Symbol.dispose]();
            resolve(log.end());
          });
        });
        const before = log.end();
        await log.append(chunk(STDOUT, 0, 'abc'));
        expect(await woken).to.be.greaterThan(before);
        expect(texts(await readAll(TASK, before))).to.deep.equal(['abc']);
      });
    });

    describe('cursorForLast', () => {
      it('finds where the last lines begin', async () => {
        let offset = 0;
        for (let i = 0; i < 40; i++) {
          const line = `line ${i}\n`;
          await log.append(chunk(STDOUT, offset, line));
          await log.append({ ...chunk({ ...STDOUT, task: 'noise' }, i, '\n'), agent: 'a2' });
          offset += line.length;
        }
        for (const lines of [1, 7, 39]) {
          const got = texts(await readAll(TASK, await log.cursorForLast(TASK, lines))).join('');
          expect(got.split('\n').length - 1).to.be.within(lines, lines + 1);
          expect(got.endsWith('line 39\n')).to.equal(true);
        }
        expect(texts(await readAll(TASK, await log.cursorForLast(TASK, 500))).length).to.equal(40);
        expect(await log.cursorForLast(TASK, 0)).to.equal(log.end());
      });

      it('counts an unfinished last line', async () => {
        await log.append(chunk(STDOUT, 0, 'a\nb\n'));
        await log.append(chunk(STDOUT, 4, 'c\n'));
        await log.append(chunk(STDOUT, 6, 'open'));
        const got = texts(await readAll(TASK, await log.cursorForLast(TASK, 2))).join('');
        expect(got).to.match(/c\nopen$/);
      });
    });

    describe('expire', () => {
      const fill = async (from: number, segments: number): Promise<number> => {
        const data = 'x'.repeat(1000);
        let offset = from;
        for (const stop = log.end() + segments * made.segmentBytes; log.end() < stop; offset += 1000) {
          await log.append(chunk(STDOUT, offset, data));
        }
        return offset;
      };

      it('deletes the oldest output until the rest is small enough', async () => {
        const offset = await fill(0, 4);
        const [first] = (await log.read({ scope: TASK, after: 0, maxBytes: 1 })).records;
        await log.expire({ maxBytes: 2 * made.segmentBytes, minTimeMs: 0 });
        const records = await readAll();
        expect(records[0]?.offset).to.be.greaterThan(0);
        expect(records.at(-1)?.offset).to.equal(offset - 1000);
        await refuses('LOG_EXPIRED', () => log.read({ scope: TASK, after: first?.cursor ?? 0, maxBytes: 1 }));
        expect(await log.progress(STDOUT)).to.include({ nextOffset: offset });
        const oldest = records[0]?.offset;
        await reopen();
        expect((await readAll())[0]?.offset).to.equal(oldest);
        await refuses('LOG_EXPIRED', () => log.read({ scope: TASK, after: first?.cursor ?? 0, maxBytes: 1 }));
      });

      it('deletes all that is too old, and goes on', async () => {
        const offset = await fill(0, 2);
        const end = log.end();
        await log.expire({ maxBytes: EVERYTHING, minTimeMs: Date.now() + 3_600_000 });
        expect(await readAll()).to.deep.equal([]);
        await fill(offset, 1);
        expect((await readAll())[0]?.offset).to.equal(offset);
        expect(texts(await readAll(TASK, end)).length).to.be.greaterThan(0);
        await reopen();
        expect((await readAll())[0]?.offset).to.equal(offset);
      });

      it('deletes nothing that is within the limits', async () => {
        await fill(0, 2);
        const before = await readAll();
        await log.expire({ maxBytes: EVERYTHING, minTimeMs: 0 });
        expect(await readAll()).to.deep.equal(before);
      });
    });
  });
}

function chunk(
  key: typeof STDOUT | typeof STDERR | Omit<OutputChunk, 'data' | 'agent' | 'offset' | 'timeMs'>,
  offset: number,
  data: string,
): OutputChunk {
  return { ...key, agent: 'a1', offset, timeMs: 1234.5, data: Buffer.from(data) };
}

function text(data: Uint8Array): string {
  return Buffer.from(data).toString();
}

function texts(records: readonly OutputRecord[]): string[] {
  return records.map(({ data }) => text(data));
}

/** Expects a call to be refused for a reason. */
async function refuses(reason: HubError['reason'], call: () => Promise<unknown>): Promise<void> {
  const err = await call().then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(err).to.be.instanceOf(HubError).with.property('reason', reason);
}
