import { cpSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import fc from 'fast-check';
import { silentLogger } from '../../src/base/logger.js';
import type { OutputScope } from '../../src/hub/output-log.js';
import type { OutputProgress, OutputRecord, StreamKey } from '../../src/model/output.js';
import { SegmentOutputLog } from '../../src/store/output/segment-output-log.js';
import { SqliteStore } from '../../src/store/sqlite/sqlite-store.js';
import { propertyOptions } from '../support/property.js';

const KEYS: readonly (StreamKey & { readonly agent: string })[] = ['a', 'b'].flatMap((agent) =>
  [1, 2].flatMap((attempt) =>
    (['STDOUT', 'STDERR'] as const).map((stream) => ({ task: `of-${agent}`, attempt, stream, agent })),
  ),
);

/** Something that is stored: bytes, or the word that bytes are lost. */
interface Piece {
  readonly key: (typeof KEYS)[number];
  readonly offset: number;
  readonly size: number;
  readonly gap: boolean;
}

type Step =
  | {
      readonly type: 'write';
      readonly key: number;
      /** Where it begins, from the end of the stream. */
      readonly shift: number;
      readonly size: number;
      readonly gap: boolean;
      readonly wait: boolean;
    }
  | { readonly type: 'reopen' | 'crash' }
  | { readonly type: 'read'; readonly scope: OutputScope; readonly from: number; readonly maxBytes: number };

const write = fc.record({
  type: fc.constant('write' as const),
  key: fc.integer({ min: 0, max: KEYS.length - 1 }),
  shift: fc.oneof({ weight: 4, arbitrary: fc.constant(0) }, fc.integer({ min: -20, max: 20 })),
  size: fc.oneof(fc.integer({ min: 1, max: 40 }), fc.constantFrom(1000, 9000)),
  gap: fc.integer({ min: 0, max: 7 }).map((n) => n === 0),
  wait: fc.boolean(),
});
const read = fc.record({
  type: fc.constant('read' as const),
  scope: fc.constantFrom<OutputScope>({ task: 'of-a' }, { task: 'of-b' }, { agent: 'a' }, { agent: 'b' }),
  from: fc.nat(),
  maxBytes: fc.constantFrom(1, 100, 100_000),
});
const again = fc.constantFrom<Step>({ type: 'reopen' }, { type: 'crash' });
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof({ weight: 12, arbitrary: write }, { weight: 2, arbitrary: read }, again),
  { minLength: 1, maxLength: 60 },
);

/** A byte that depends on its stream and place, so that a misplaced one is seen. */
function bytesOf({ key, offset, size, gap }: Piece): Buffer {
  if (gap) return Buffer.alloc(0);
  const from = KEYS.indexOf(key) * 31;
  return Buffer.from(Array.from({ length: size }, (_, i) => (from + (offset + i) * 7) % 251));
}

/** The log beside a simple list of what it must hold. */
class Pair {
  private readonly pieces: Piece[] = [];
  /** How many of the pieces are known to be durable. */
  private durable = 0;
  private pending: Promise<void>[] = [];
  private dirs: string[] = [];

  private constructor(
    private store: SqliteStore,
    private log: SegmentOutputLog,
  ) {}

  static async open(): Promise<Pair> {
    const dir = await mkdtemp(join(tmpdir(), 'log-model-'));
    const { store, log } = await openIn(dir);
    const pair = new Pair(store, log);
    pair.dirs.push(dir);
    return pair;
  }

  async run(step: Step): Promise<void> {
    if (step.type === 'write') await this.write(step);
    else if (step.type === 'read') await this.read(step);
    else if (step.type === 'reopen') await this.reopen();
    else await this.crash();
  }

  /** Everything is there after a last restart. */
  async finish(): Promise<void> {
    await this.reopen();
    for (const agent of ['a', 'b']) this.compare(await this.all({ agent }), this.piecesOf({ agent }));
    for (const key of KEYS) {
      const { nextOffset } = await this.log.progress(key);
      expect(nextOffset, keyOf(key)).to.equal(this.endOf(key));
    }
  }

  async close(): Promise<void> {
    await Promise.allSettled(this.pending);
    await this.log.close();
    await this.store.close();
    for (const dir of this.dirs) await rm(dir, { recursive: true, force: true });
  }

  private async write({
    key: index,
    shift,
    size,
    gap,
    wait,
  }: Extract<Step, { type: 'write' }>): Promise<void> {
    const key = KEYS[index] as (typeof KEYS)[number];
    const end = this.endOf(key);
    const offset = Math.max(0, end + shift);
    const expected = { nextOffset: Math.max(end, offset > end ? end : offset + size), rewind: offset > end };
    const kept = { key, offset: end, size: expected.nextOffset - end, gap };
    if (kept.size > 0) this.pieces.push(kept);
    const count = this.pieces.length;
    const stored = (progress: OutputProgress) => {
      // An answer says what is durable now: the piece itself, and not always what else is on its way.
      expect(progress.rewind, keyOf(key)).to.equal(expected.rewind);
      const least = expected.rewind ? 0 : offset + size;
      expect(progress.nextOffset, keyOf(key)).to.be.within(least, this.endOf(key));
      if (!progress.rewind) this.durable = Math.max(this.durable, count);
    };
    const { agent, ...stream } = key;
    const data = bytesOf({ key, offset, size, gap: false });
    const pending = gap
      ? this.log.appendGap({ ...stream, agent, offset, bytes: size })
      : this.log.append({ ...stream, agent, offset, timeMs: 1, data });
    const done = pending.then(stored);
    this.pending.push(done);
    done.catch(() => {});
    if (wait) await done;
  }

  private async read({ scope, from, maxBytes }: Extract<Step, { type: 'read' }>): Promise<void> {
    await this.settled();
    const all = await this.all(scope);
    this.compare(all, this.piecesOf(scope));
    const start = from % (all.length + 1);
    const after = all[start - 1]?.cursor ?? 0;
    expect(await this.all(scope, after, maxBytes)).to.deep.equal(all.slice(start));
  }

  private async reopen(): Promise<void> {
    await this.settled();
    await this.log.close();
    await this.store.close();
    Object.assign(this, await openIn(this.dirs.at(-1) ?? ''));
  }

  /** What is on the disk at this moment is all that the next process has. */
  private async crash(): Promise<void> {
    const dir = await mkdtemp(join(tmpdir(), 'log-model-'));
    const { durable } = this;
    cpSync(this.dirs.at(-1) ?? '', dir, { recursive: true });
    await this.settled();
    await this.log.close();
    await this.store.close();
    this.dirs.push(dir);
    Object.assign(this, await openIn(dir));
    await this.accept(durable);
  }

  /** After a crash a beginning of what was written is there, and all that was durable. */
  private async accept(durable: number): Promise<void> {
    const ends = new Map<string, number>();
    for (const key of KEYS) ends.set(keyOf(key), (await this.log.progress(key)).nextOffset);
    const lost = this.pieces.findIndex(({ key, offset }) => offset >= (ends.get(keyOf(key)) ?? 0));
    if (lost >= 0) this.pieces.length = lost;
    expect(this.pieces.length, 'pieces that are there').to.be.at.least(durable);
    this.durable = this.pieces.length;
    for (const key of KEYS) expect(ends.get(keyOf(key)), keyOf(key)).to.equal(this.endOf(key));
  }

  private async settled(): Promise<void> {
    await Promise.all(this.pending);
    this.pending = [];
  }

  private endOf(key: (typeof KEYS)[number]): number {
    return this.pieces.reduce((end, piece) => (piece.key === key ? piece.offset + piece.size : end), 0);
  }

  private piecesOf(scope: OutputScope): readonly Piece[] {
    return this.pieces.filter(({ key }) =>
      'task' in scope ? key.task === scope.task : key.agent === scope.agent,
    );
  }

  private async all(scope: OutputScope, after = 0, maxBytes = 1_000_000): Promise<readonly OutputRecord[]> {
    const records: OutputRecord[] = [];
    for (let position = after; ; ) {
      const page = await this.log.read({ scope, after: position, maxBytes });
      records.push(...page.records);
      position = page.next;
      if (page.atEnd) return records;
    }
  }

  /** The records say what the pieces say, in the same order; how they are cut is the log's business. */
  private compare(records: readonly OutputRecord[], pieces: readonly Piece[]): void {
    const flat = pieces.map((piece) => ({
      ...piece.key,
      offset: piece.offset,
      gap: piece.gap,
      size: piece.size,
    }));
    const found = records.map(({ task, attempt, stream, agent, offset, data, gapBytes }) => {
      const gap = gapBytes > 0;
      return { task, attempt, stream, agent, offset, gap, size: gap ? gapBytes : data.length };
    });
    expect(found).to.deep.equal(flat);
    records.forEach((record, n) => {
      const piece = pieces[n];
      if (piece)
        expect(Buffer.from(record.data).equals(bytesOf(piece)), `bytes of record ${n}`).to.equal(true);
    });
  }
}

function keyOf({ task, attempt, stream }: StreamKey): string {
  return `${task} ${attempt} ${stream}`;
}

async function openIn(dir: string) {
  const store = new SqliteStore({ path: join(dir, 'hub.db'), log: silentLogger });
  await store.open();
  const options = {
    dir: join(dir, 'output'),
    index: store.outputIndex,
    log: silentLogger,
    segmentBytes: 20_000,
  };
  const log = new SegmentOutputLog(options);
  await log.open();
  return { store, log };
}

describe('the output log and its model', function () {
  this.timeout(120_000);

  it('agree after any writes, repeats, gaps, restarts and crashes', async () => {
    await fc.assert(
      fc.asyncProperty(steps, async (all) => {
        const pair = await Pair.open();
        try {
          for (const step of all) await pair.run(step);
          await pair.finish();
        } finally {
          await pair.close();
        }
      }),
      propertyOptions(60),
    );
  });
});
