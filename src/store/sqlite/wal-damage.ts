const HEADER_BYTES = 32;
const FRAME_HEADER_BYTES = 24;
const MAGIC = 0x377f0682;

type Sums = readonly [number, number];

/**
 * Finds damage in a write-ahead log (sqlite.org/fileformat2.html#walformat) that SQLite would take for its end, and
 * so forget commits without a word. Every commit is synced before the next one is written: what is broken in front
 * of a commit that has a successor was whole once. Damage in the very last commit looks as a crash in the middle of
 * it does, and is that nearly always.
 *
 * @returns the place of the first damaged byte run, or undefined.
 */
export function findWalDamage(wal: Buffer): number | undefined {
  if (wal.length < HEADER_BYTES + FRAME_HEADER_BYTES) return undefined;
  const frameBytes = FRAME_HEADER_BYTES + pageBytes(wal);
  const frames = Math.floor((wal.length - HEADER_BYTES) / frameBytes);
  const valid = validFrames(wal, frameBytes, frames);
  const salts = valid < 0 ? wal.subarray(HEADER_BYTES + 8, HEADER_BYTES + 16) : wal.subarray(16, 24);
  let commits = 0;
  for (let i = Math.max(valid, 0); i < frames; i += 1) {
    const at = HEADER_BYTES + i * frameBytes;
    if (!wal.subarray(at + 8, at + 16).equals(salts)) continue;
    if (commits > 0) return valid < 0 ? 0 : HEADER_BYTES + valid * frameBytes;
    if (wal.readUInt32BE(at + 4) !== 0) commits += 1;
  }
  return undefined;
}

/** Frames at the beginning whose checksums are right; -1 when the header is wrong already. */
function validFrames(wal: Buffer, frameBytes: number, frames: number): number {
  const littleEndian = (wal.readUInt32BE(0) & 1) === 0;
  let sums = add([0, 0], wal.subarray(0, 24), littleEndian);
  if (!isSum(wal, 24, sums)) return -1;
  for (let i = 0; i < frames; i += 1) {
    const at = HEADER_BYTES + i * frameBytes;
    if (!wal.subarray(at + 8, at + 16).equals(wal.subarray(16, 24))) return i;
    sums = add(sums, wal.subarray(at, at + 8), littleEndian);
    sums = add(sums, wal.subarray(at + FRAME_HEADER_BYTES, at + frameBytes), littleEndian);
    if (!isSum(wal, at + 16, sums)) return i;
  }
  return frames;
}

function isSum(wal: Buffer, at: number, [first, second]: Sums): boolean {
  return wal.readUInt32BE(at) === first && wal.readUInt32BE(at + 4) === second;
}

function add([first, second]: Sums, bytes: Buffer, littleEndian: boolean): Sums {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 0; at + 8 <= bytes.length; at += 8) {
    first = (first + view.getUint32(at, littleEndian) + second) >>> 0;
    second = (second + view.getUint32(at + 4, littleEndian) + first) >>> 0;
  }
  return [first, second];
}

/** A header that is damaged itself is no help: then it is the size that our databases have. */
function pageBytes(wal: Buffer): number {
  const size = wal.readUInt32BE(8);
  const known = (wal.readUInt32BE(0) & ~1) >>> 0 === MAGIC && size >= 512 && size <= 65_536;
  return known && (size & (size - 1)) === 0 ? size : 4096;
}
