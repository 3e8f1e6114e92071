import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { Spool } from '../../../src/agent/spool.js';
import { type SpoolLimits, SpoolWriter } from '../../../src/agent/spool-writer.js';
import type { OutputStream } from '../../../src/model/output.js';

describe('Spool', () => {
  let dir: string;
  const id = { task: 't', attempt: 1 };

  beforeEach(() => {
    dir = join(mkdtempSync(join(tmpdir(), 'spool-')), 't~1');
  });
  afterEach(() => rmSync(join(dir, '..'), { recursive: true, force: true }));

  /** A spool with the writer that is in another process otherwise. */
  class Written extends Spool {
    private readonly writer: SpoolWriter;

    constructor(limits: SpoolLimits) {
      mkdirSync(dir, { recursive: true });
      const writer = new SpoolWriter(dir, limits);
      super(id, dir, (before) => writer.freed(before));
      this.writer = writer;
    }

    append(stream: OutputStream, data: Buffer, timeMs: number): void {
      this.writer.append(stream, data, timeMs);
      this.extend(this.writer.end);
    }

    get full(): boolean {
      return this.writer.full;
    }

    override tail(stream: OutputStream): string {
      return this.writer.tail(stream) || super.tail(stream);
    }

    override close(): void {
      this.writer.close();
      super.close();
    }
  }

  const create = (limits: SpoolLimits = {}) => new Written(limits);

  /** What is sent until nothing is left, written short. */
  function sendAll(spool: Spool): readonly string[] {
    const sent: string[] = [];
    for (let item = spool.next(); item !== undefined; item = spool.next()) {
      if (item.type === 'gap') sent.push(`${item.gap.stream}@${item.gap.offset} lost ${item.gap.bytes}`);
      else sent.push(`${item.chunk.stream}@${item.chunk.offset} ${Buffer.from(item.chunk.data)}`);
    }
    return sent;
  }

  function filled(limits: SpoolLimits = {}): Written {
    const spool = create(limits);
    const frames: readonly [OutputStream, string][] = [
      ['STDOUT', 'one'],
      ['STDERR', 'bad'],
      ['STDOUT', 'two'],
    ];
    for (const [stream, text] of frames) spool.append(stream, Buffer.from(text), 1);
    return spool;
  }

  it('sends both streams in the order in which they were read', () => {
    const spool = filled();
    expect(sendAll(spool)).to.deep.equal(['STDOUT@0 one', 'STDERR@0 bad', 'STDOUT@3 two']);
    expect(spool.inFlight).to.equal(9);
    expect(spool.hasUnsent).to.equal(false);
    spool.remove();
  });

  it('sends again from where one stream is acknowledged, without the other', () => {
    const spool = filled();
    sendAll(spool);
    spool.rewind('STDOUT', 2);
    expect(sendAll(spool)).to.deep.equal(['STDOUT@2 e', 'STDOUT@3 two']);
    spool.remove();
  });

  it('sends all that is not acknowledged after the connection was lost', () => {
    const spool = filled();
    sendAll(spool);
    spool.ack('STDOUT', 3);
    spool.rewindAll();
    expect(sendAll(spool)).to.deep.equal(['STDERR@0 bad', 'STDOUT@3 two']);
    spool.remove();
  });

  it('is full above its limit and has room again once the hub has the bytes', () => {
    const spool = create({ maxBytes: 100, segmentBytes: 50 });
    while (!spool.full) spool.append('STDOUT', Buffer.from('0123456789'), 1);
    const { STDOUT: total } = spool.totals;
    sendAll(spool);
    expect(spool.ack('STDOUT', total)).to.equal(true);
    expect(spool.full).to.equal(false);
    expect(spool.drained).to.equal(true);
    spool.append('STDOUT', Buffer.from('more'), 1);
    expect(sendAll(spool)).to.deep.equal([`STDOUT@${total} more`]);
    spool.remove();
  });

  it('deletes files as a whole when all of their bytes are acknowledged', () => {
    const spool = create({ segmentBytes: 60 });
    for (let index = 0; index < 6; index += 1) spool.append('STDOUT', Buffer.from('0123456789'), 1);
    const files = readdirSync(dir).length;
    expect(files).to.be.greaterThan(1);
    sendAll(spool);
    spool.ack('STDOUT', 30);
    expect(readdirSync(dir).length).to.be.lessThan(files);
    spool.rewind('STDOUT', 35);
    expect(sendAll(spool)[0]).to.equal('STDOUT@35 56789');
    spool.remove();
    expect(readdirSync(join(dir, '..'))).to.deep.equal([]);
  });

  it('goes on after a restart with what an earlier process wrote', () => {
    filled().close();
    const spool = create();
    spool.recover();
    expect(spool.totals).to.deep.equal({ STDOUT: 6, STDERR: 3 });
    expect(spool.tail('STDOUT')).to.equal('onetwo');
    expect(sendAll(spool)).to.deep.equal(['STDOUT@0 one', 'STDERR@0 bad', 'STDOUT@3 two']);
    spool.remove();
  });

  it('declares lost what the journal knows of and a torn file no longer has', () => {
    filled().close();
    const file = join(dir, '1');
    truncateSync(file, statSync(file).size - 1);
    const spool = create();
    spool.recover();
    spool.declareTotals({ STDOUT: 6, STDERR: 3 });
    expect(sendAll(spool)).to.deep.equal(['STDOUT@0 one', 'STDERR@0 bad', 'STDOUT@3 lost 3']);
    spool.remove();
  });

  it('declares lost what the hub asks for again and was deleted', () => {
    const spool = create({ maxBytes: 10, segmentBytes: 10 });
    spool.append('STDOUT', Buffer.from('0123456789'), 1);
    sendAll(spool);
    spool.ack('STDOUT', 10);
    spool.append('STDOUT', Buffer.from('next'), 1);
    spool.rewind('STDOUT', 4);
    expect(sendAll(spool)).to.deep.equal(['STDOUT@4 lost 6', 'STDOUT@10 next']);
    spool.remove();
  });

  it('keeps tails within 8192 bytes, also of bytes that are not text', () => {
    const spool = create();
    spool.append('STDOUT', Buffer.alloc(60_000, 0xff), 1);
    spool.append('STDERR', Buffer.from('é'.repeat(6000)), 1);
    expect(Buffer.byteLength(spool.tail('STDOUT'))).to.be.within(8000, 8192);
    expect(Buffer.byteLength(spool.tail('STDERR'))).to.be.within(8000, 8192);
    spool.remove();
  });
});
