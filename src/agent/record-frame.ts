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
  readonly payloads: readonly Buffer[];
  /** Bytes up to the end of the last whole record; what follows was torn by a crash. */
  readonly validBytes: number;
}

/** Reads records up to the first one that is not whole. */
export function readRecords(bytes: Buffer): FramedRecords {
  const payloads: Buffer[] = [];
  let position = 0;
  while (position + HEADER_BYTES <= bytes.length) {
    const length = bytes.readUInt32LE(position);
    const end = position + HEADER_BYTES + length;
    if (length > MAX_RECORD_BYTES || end > bytes.length) break;
    const payload = bytes.subarray(position + HEADER_BYTES, end);
    if (crc32(payload) !== bytes.readUInt32LE(position + 4)) break;
    payloads.push(payload);
    position = end;
  }
  return { payloads, validBytes: position };
}
