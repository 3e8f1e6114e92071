/** A file of a {@link fatDisk}. */
export interface FatFile {
  /** As it is seen, such as `user-data`. */
  readonly name: string;
  readonly data: Buffer;
}

const SECTOR = 512;
const SECTORS = 1024;
/** Sectors of one of the two allocation tables: 12 bits for each cluster. */
const TABLE_SECTORS = 3;
const ROOT_ENTRIES = 64;
const ENTRY = 32;
const ROOT_SECTOR = 1 + 2 * TABLE_SECTORS;
const DATA_SECTOR = ROOT_SECTOR + (ROOT_ENTRIES * ENTRY) / SECTOR;
const END_OF_FILE = 0xfff;
const NAME_CHARACTERS = 13;

/** A small disk with one FAT file system (512 KiB, no partitions) and these files in its root. */
export function fatDisk(label: string, files: readonly FatFile[]): Buffer {
  const disk = Buffer.alloc(SECTORS * SECTOR);
  bootSector(label).copy(disk);
  const table: number[] = [0xff8, END_OF_FILE];
  const entries: Buffer[] = [labelEntry(label)];
  files.forEach(({ name, data }, index) => {
    const first = table.length;
    const clusters = Math.ceil(data.length / SECTOR);
    if ((DATA_SECTOR + first - 2 + clusters) * SECTOR > disk.length) throw new Error(`${name} is too large`);
    data.copy(disk, (DATA_SECTOR + first - 2) * SECTOR);
    for (let i = 1; i <= clusters; i++) table.push(i === clusters ? END_OF_FILE : first + i);
    entries.push(fileEntries(name, index, clusters === 0 ? 0 : first, data.length));
  });
  for (const copy of [0, 1]) packTable(table).copy(disk, (1 + copy * TABLE_SECTORS) * SECTOR);
  const root = Buffer.concat(entries);
  if (root.length > ROOT_ENTRIES * ENTRY) throw new Error('too many files');
  root.copy(disk, ROOT_SECTOR * SECTOR);
  return disk;
}

function bootSector(label: string): Buffer {
  const sector = Buffer.alloc(SECTOR);
  sector.write('\xeb\x3c\x90', 0, 'latin1');
  sector.write('MSWIN4.1', 3, 'latin1');
  sector.writeUInt16LE(SECTOR, 11);
  sector.writeUInt8(1, 13); // sectors in a cluster
  sector.writeUInt16LE(1, 14); // sectors before the tables
  sector.writeUInt8(2, 16); // tables
  sector.writeUInt16LE(ROOT_ENTRIES, 17);
  sector.writeUInt16LE(SECTORS, 19);
  sector.writeUInt8(0xf8, 21); // a fixed disk
  sector.writeUInt16LE(TABLE_SECTORS, 22);
  sector.writeUInt16LE(32, 24); // sectors in a track
  sector.writeUInt16LE(2, 26); // heads
  sector.writeUInt8(0x80, 36);
  sector.writeUInt8(0x29, 38); // serial number, label and type follow
  sector.writeUInt32LE(0x766d6167, 39);
  sector.write(label.padEnd(11), 43, 'latin1');
  sector.write('FAT12   ', 54, 'latin1');
  sector.writeUInt16LE(0xaa55, 510);
  return sector;
}

function labelEntry(label: string): Buffer {
  const entry = Buffer.alloc(ENTRY);
  entry.write(label.padEnd(11), 0, 'latin1');
  entry.writeUInt8(0x08, 11);
  return entry;
}

/** The entries of one file: its long name in pieces, last piece first, and a short one. */
function fileEntries(name: string, index: number, cluster: number, bytes: number): Buffer {
  const short = Buffer.from(`FILE${String(index).padStart(4, '0')}   `, 'latin1');
  const entry = Buffer.alloc(ENTRY);
  short.copy(entry);
  entry.writeUInt16LE(cluster, 26);
  entry.writeUInt32LE(bytes, 28);
  const pieces = Math.ceil(name.length / NAME_CHARACTERS);
  const long = Array.from({ length: pieces }, (_, i) => {
    const number = pieces - i;
    const order = number === pieces ? number | 0x40 : number;
    return nameEntry(
      name.slice((number - 1) * NAME_CHARACTERS, number * NAME_CHARACTERS),
      order,
      checksum(short),
    );
  });
  return Buffer.concat([...long, entry]);
}

function nameEntry(piece: string, order: number, sum: number): Buffer {
  const text = Buffer.alloc(NAME_CHARACTERS * 2, 0xff);
  // A shorter piece ends with a zero; what is behind it is all ones.
  text.write(piece.length < NAME_CHARACTERS ? `${piece}\0` : piece, 0, 'utf16le');
  const entry = Buffer.alloc(ENTRY);
  entry.writeUInt8(order, 0);
  text.copy(entry, 1, 0, 10);
  entry.writeUInt8(0x0f, 11);
  entry.writeUInt8(sum, 13);
  text.copy(entry, 14, 10, 22);
  text.copy(entry, 28, 22, 26);
  return entry;
}

function checksum(short: Buffer): number {
  return short.reduce((sum, byte) => (((sum & 1) << 7) + (sum >> 1) + byte) & 0xff, 0);
}

/** Two entries of 12 bits in three bytes. */
function packTable(table: readonly number[]): Buffer {
  const packed = Buffer.alloc(TABLE_SECTORS * SECTOR);
  for (let i = 0; i < table.length; i += 2) {
    const pair = (table[i] ?? 0) | ((table[i + 1] ?? 0) << 12);
    packed.writeUIntLE(pair, (i / 2) * 3, 3);
  }
  return packed;
}
