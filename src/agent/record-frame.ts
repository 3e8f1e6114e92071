import { crc32 } from 'node:zlib';

const HEADER_BYTES = 8;

/** Most bytes of one record: a frame to the hub is smaller. */
export const MAX_RECORD_BYTES = 8 * 1024 * 1024;

/** A record as it stands in a file: length, CRC-32, payload. */
export function frameRecord(payload: Uint8Array): Buffer {
  const framed = Buffer.allocUnsafe(HEADER_BYTES + payload.length);
  framed.writeUInt32LE(payload.length, 0);
  framed.writeUInt32LE(crc32(payload), 4);
  framed.set(payload, HEADER_BYTES);
  return framed;
}

/** What a file of records holds. */
export interface FramedRecords {
  /** All records that are whole; with damage in the middle, also those behind it. */
  readonly payloads: readonly Buffer[];
  /** Bytes up to the first record that is not whole. */
  readonly validBytes: number;
  /** Whether whole records stand behind one that is not: that is no tail torn by a crash. */
  readonly damaged: boolean;
}

/** Reads records of texts. Zeros behind them are room for more. */
export function readRecords(file: Buffer): FramedRecords {
  let used = file.length;
  while (used > 0 && file[used - 1] === 0) used -= 1;
  const bytes = file.subarray(0, used);
  const payloads: Buffer[] = [];
  const validBytes = readRun(bytes, 0, payloads);
  const before = payloads.length;
  for (let at = validBytes + 1; at + HEADER_BYTES < bytes.length; ) {
    const end = readRun(bytes, at, payloads);
    at = end === at ? at + 1 : end;
  }
  return { payloads, validBytes, damaged: payloads.length > before };
}

/** Takes whole records in from a place on; answers where they end. */
function readRun(bytes: Buffer, from: number, payloads: Buffer[]): number {
  let position = from;
  while (position + HEADER_BYTES < bytes.length) {
    const length = bytes.readUInt32LE(position);
    const end = position + HEADER_BYTES + length;
    if (length === 0 || length > MAX_RECORD_BYTES || end > bytes.length) break;
    const payload = bytes.subarray(position + HEADER_BYTES, end);
    if (crc32(payload) !== bytes.readUInt32LE(position + 4)) break;
    payloads.push(payload);
    position = end;
  }
  return position;
}
