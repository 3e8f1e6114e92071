import { crc32 } from 'node:zlib';
import type { OutputRecord, OutputStream, StreamKey } from '../../model/output.js';

/** A record on its way into the log. */
export interface NewRecord extends StreamKey {
  readonly agent: string;
  readonly offset: number;
  readonly timeMs: number;
  readonly data: Uint8Array;
  readonly gapBytes: number;
}

/** Most bytes of data in one record; longer chunks become several records. */
export const MAX_RECORD_DATA = 256 * 1024;

/** Longest record: data, header, and the ids of task and agent. */
export const MAX_RECORD_BYTES = MAX_RECORD_DATA + 4096;

/*
 * Layout, little endian: u32 CRC of all that follows, u32 length of the record, u8 kind, u8 stream, u16 length of
 * the task id, u16 length of the agent id, u16 zero, u32 attempt, f64 offset, f64 time, f64 gap bytes, task id,
 * agent id, data.
 */
const HEADER_BYTES = 44;
const KIND = 1;
const STREAMS: readonly OutputStream[] = ['STDOUT', 'STDERR'];

/** Bytes that a record takes in the log. */
export function recordBytes({ task, agent, data }: NewRecord): number {
  return HEADER_BYTES + Buffer.byteLength(task) + Buffer.byteLength(agent) + data.length;
}

/** Writes a record at a place of a buffer that has room; answers its length. */
export function encodeRecord(record: NewRecord, buffer: Buffer, at: number): number {
  const taskBytes = buffer.write(record.task, at + HEADER_BYTES);
  const agentBytes = buffer.write(record.agent, at + HEADER_BYTES + taskBytes);
  const dataAt = at + HEADER_BYTES + taskBytes + agentBytes;
  buffer.set(record.data, dataAt);
  const length = dataAt + record.data.length - at;
  buffer.writeUInt32LE(length, at + 4);
  buffer.writeUInt8(KIND, at + 8);
  buffer.writeUInt8(STREAMS.indexOf(record.stream), at + 9);
  buffer.writeUInt16LE(taskBytes, at + 10);
  buffer.writeUInt16LE(agentBytes, at + 12);
  buffer.writeUInt16LE(0, at + 14);
  buffer.writeUInt32LE(record.attempt, at + 16);
  buffer.writeDoubleLE(record.offset, at + 20);
  buffer.writeDoubleLE(record.timeMs, at + 28);
  buffer.writeDoubleLE(record.gapBytes, at + 36);
  buffer.writeUInt32LE(crc32(buffer.subarray(at + 4, at + length)), at);
  return length;
}

/** What stands at a place: a record, the beginning of one (more bytes are needed), or nothing that makes sense. */
export type Decoded =
  | { readonly kind: 'record'; readonly record: OutputRecord; readonly length: number }
  | { readonly kind: 'incomplete' }
  | { readonly kind: 'corrupt' };

/** Reads the record at a place of a buffer. Its data is a copy. `position` is that of the record in the log. */
export function decodeRecord(buffer: Buffer, at: number, position: number): Decoded {
  if (buffer.length - at < HEADER_BYTES) return { kind: 'incomplete' };
  const length = buffer.readUInt32LE(at + 4);
  if (length < HEADER_BYTES || length > MAX_RECORD_BYTES) return { kind: 'corrupt' };
  if (buffer.length - at < length) return { kind: 'incomplete' };
  const bytes = buffer.subarray(at, at + length);
  if (crc32(bytes.subarray(4)) !== bytes.readUInt32LE(0)) return { kind: 'corrupt' };
  const stream = STREAMS[bytes.readUInt8(9)];
  if (!stream || bytes.readUInt8(8) !== KIND) return { kind: 'corrupt' };
  return { kind: 'record', record: fields(bytes, stream, position), length };
}

function fields(bytes: Buffer, stream: OutputStream, position: number): OutputRecord {
  const agentAt = HEADER_BYTES + bytes.readUInt16LE(10);
  const dataAt = agentAt + bytes.readUInt16LE(12);
  return {
    cursor: position + bytes.length,
    task: bytes.toString('utf8', HEADER_BYTES, agentAt),
    agent: bytes.toString('utf8', agentAt, dataAt),
    attempt: bytes.readUInt32LE(16),
    stream,
    offset: bytes.readDoubleLE(20),
    timeMs: bytes.readDoubleLE(28),
    gapBytes: bytes.readDoubleLE(36),
    data: new Uint8Array(bytes.subarray(dataAt)),
  };
}
