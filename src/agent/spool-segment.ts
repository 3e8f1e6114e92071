import { closeSync, fstatSync, ftruncateSync, openSync, readSync, rmSync, writevSync } from 'node:fs';
import { crc32 } from 'node:zlib';
import type { OutputStream } from '../model/output.js';

/** Bytes before the payload of a frame: CRC of the rest, stream, length, offset, time. */
const HEADER_BYTES = 4 + 1 + 4 + 8 + 8;

/** Most bytes of one frame. */
export const MAX_FRAME_BYTES = 65_536;

/** A run of bytes of one stream as it was read. */
export interface SpoolFrame {
  readonly stream: OutputStream;
  readonly offset: number;
  readonly timeMs: number;
  readonly data: Buffer;
}

/** One file of a spool: frames in the order in which they were read. One process writes it and another reads it. */
export class SpoolSegment {
  private readonly fd: number;
  /** Bytes that are written, as far as this process knows. */
  size: number;
  /** Bytes that were read at least once. */
  seen = 0;
  /** Where each stream ends in what was read; absent when it has no frame there. */
  readonly ends: Partial<Record<OutputStream, number>> = {};

  /** Opens a file; only a writer (`a+`) makes one that is missing. */
  constructor(
    private readonly path: string,
    flags: 'a+' | 'r' = 'a+',
  ) {
    this.fd = openSync(path, flags, 0o600);
    this.size = fstatSync(this.fd).size;
  }

  /** Reads all frames of a file that was left by an earlier process, and leaves a torn tail out. */
  recover(onFrame: (frame: SpoolFrame) => void): void {
    let position = 0;
    for (let next = this.read(position); next !== undefined; next = this.read(position)) {
      onFrame(next.frame);
      position = next.end;
    }
    this.size = position;
  }

  /** Takes what was written since into account. Default: all of it. */
  grow(size = fstatSync(this.fd).size): void {
    this.size = Math.max(this.size, size);
  }

  /** Adds a frame. A write that fails leaves the segment as it was. */
  append(frame: SpoolFrame): void {
    const header = encodeHeader(frame);
    try {
      const written = writevSync(this.fd, [header, frame.data]);
      if (written !== HEADER_BYTES + frame.data.length) throw new Error('the disk is full');
    } catch (err) {
      this.truncate(this.size);
      throw err;
    }
    this.size += HEADER_BYTES + frame.data.length;
  }

  /** The frame at a position, and where the next one begins; undefined at the end or where it is torn. */
  read(position: number): { readonly frame: SpoolFrame; readonly end: number } | undefined {
    const header = Buffer.allocUnsafe(HEADER_BYTES);
    if (position + HEADER_BYTES > this.size) return undefined;
    if (readSync(this.fd, header, 0, HEADER_BYTES, position) < HEADER_BYTES) return undefined;
    const length = header.readUInt32LE(5);
    if (length > MAX_FRAME_BYTES) return undefined;
    const data = Buffer.allocUnsafe(length);
    if (readSync(this.fd, data, 0, length, position + HEADER_BYTES) < length) return undefined;
    if (crc32(data, crc32(header.subarray(4))) !== header.readUInt32LE(0)) return undefined;
    const stream = header.readUInt8(4) === 1 ? 'STDOUT' : 'STDERR';
    const frame: SpoolFrame = {
      stream,
      offset: Number(header.readBigUInt64LE(9)),
      timeMs: header.readDoubleLE(17),
      data,
    };
    const end = position + HEADER_BYTES + length;
    if (end > this.seen) this.ends[stream] = frame.offset + length;
    this.seen = Math.max(this.seen, end);
    return { frame, end };
  }

  close(): void {
    closeSync(this.fd);
  }

  /** Closes and deletes the file. */
  remove(): void {
    this.close();
    rmSync(this.path, { force: true });
  }

  private truncate(size: number): void {
    ftruncateSync(this.fd, size);
    this.size = size;
  }
}

function encodeHeader(frame: SpoolFrame): Buffer {
  const header = Buffer.allocUnsafe(HEADER_BYTES);
  header.writeUInt8(frame.stream === 'STDOUT' ? 1 : 2, 4);
  header.writeUInt32LE(frame.data.length, 5);
  header.writeBigUInt64LE(BigInt(frame.offset), 9);
  header.writeDoubleLE(frame.timeMs, 17);
  header.writeUInt32LE(crc32(frame.data, crc32(header.subarray(4))), 0);
  return header;
}
