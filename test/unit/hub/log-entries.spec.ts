import { expect } from 'chai';
import { parseCursor } from '../../../src/hub/log-cursor.js';
import { lineEntries } from '../../../src/hub/log-entries.js';
import { HubError } from '../../../src/model/hub-error.js';
import type { OutputRecord } from '../../../src/model/output.js';

function record(data: string | Uint8Array): OutputRecord {
  const bytes = typeof data === 'string' ? Buffer.from(data) : data;
  const key = { task: 't', attempt: 1, stream: 'STDOUT', agent: 'a' } as const;
  return { ...key, offset: 100, timeMs: 5, data: bytes, gapBytes: 0, cursor: 900 };
}

describe('lineEntries', () => {
  it('cuts a record into lines with offsets and cursors that go on behind each', () => {
    const entries = [...lineEntries(record('one\n\ntwo\nrest'), 700)];
    expect(entries.map((e) => e.text)).to.deep.equal(['one', '', 'two', 'rest']);
    expect(entries.map((e) => e.offset)).to.deep.equal([100, 104, 105, 109]);
    expect(entries.map((e) => e.cursor)).to.deep.equal(['700.1', '700.2', '700.3', '900']);
    expect(entries.map((e) => e.partial)).to.deep.equal([false, false, false, true]);
  });

  it('answers bytes where a line is not UTF-8', () => {
    const [bad, good] = [...lineEntries(record(Buffer.from([0xff, 0xfe, 10, 0x61, 10])), 0)];
    expect(bad).to.not.have.property('text');
    expect(bad?.data).to.deep.equal(Buffer.from([0xff, 0xfe]));
    expect(good).to.include({ text: 'a', partial: false, cursor: '900' });
  });

  it('passes gaps on', () => {
    const [gap] = [...lineEntries({ ...record(''), gapBytes: 7 }, 0)];
    expect(gap).to.include({ gapBytes: 7, cursor: '900' });
  });
});

describe('parseCursor', () => {
  it('reads both forms and refuses everything else', () => {
    expect(parseCursor('12')).to.deep.equal({ after: 12, skip: 0 });
    expect(parseCursor('12.3')).to.deep.equal({ after: 12, skip: 3 });
    for (const bad of ['', '-1', '1.', 'x', '1.2.3', '9999999999999999']) {
      expect(() => parseCursor(bad), bad).to.throw(HubError, /cursor/);
    }
  });
});
