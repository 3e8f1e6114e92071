import { expect } from 'chai';
import {
  decodeRecord,
  encodeRecord,
  MAX_RECORD_BYTES,
  type NewRecord,
  recordBytes,
} from '../../../../src/store/output/record-codec.js';

const RECORD: NewRecord = {
  task: 'tâche',
  agent: 'builder-1',
  attempt: 7,
  stream: 'STDERR',
  offset: 2 ** 52,
  timeMs: 1234.5,
  data: Buffer.from('some\0bytes'),
  gapBytes: 0,
};

function encoded(record = RECORD, at = 0): Buffer {
  const buffer = Buffer.alloc(at + recordBytes(record));
  expect(encodeRecord(record, buffer, at)).to.equal(recordBytes(record));
  return buffer;
}

describe('the record codec', () => {
  it('reads what it wrote, anywhere in a buffer', () => {
    const decoded = decodeRecord(encoded(RECORD, 13), 13, 1000);
    const length = recordBytes(RECORD);
    const data = new Uint8Array(RECORD.data);
    expect(decoded).to.deep.equal({
      kind: 'record',
      length,
      record: { ...RECORD, data, cursor: 1000 + length },
    });
  });

  it('answers data that does not change with the buffer', () => {
    const buffer = encoded();
    const decoded = decodeRecord(buffer, 0, 0);
    buffer.fill(0);
    expect(decoded.kind === 'record' && Buffer.from(decoded.record.data).toString()).to.equal('some\0bytes');
  });

  it('finds every changed byte', () => {
    const good = encoded();
    for (let i = 0; i < good.length; i++) {
      const bad = Buffer.from(good);
      bad.writeUInt8(bad.readUInt8(i) ^ 0x41, i);
      expect(decodeRecord(bad, 0, 0).kind, `byte ${i}`).not.to.equal('record');
    }
  });

  it('asks for more when a record is cut', () => {
    const good = encoded();
    for (const length of [0, 7, 43, good.length - 1]) {
      expect(decodeRecord(good.subarray(0, length), 0, 0).kind).to.equal('incomplete');
    }
  });

  it('never believes a length that no record has', () => {
    const bad = encoded();
    for (const length of [0, 43, MAX_RECORD_BYTES + 1, 0xffffffff]) {
      bad.writeUInt32LE(length, 4);
      expect(decodeRecord(bad, 0, 0).kind).to.equal('corrupt');
    }
  });
});
