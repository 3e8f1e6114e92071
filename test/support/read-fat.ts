const SECTOR = 512;
const ENTRY = 32;

/** Reads a FAT12 file system as its standard describes it: label and files of the root by their long names. */
export function readFat(disk: Buffer) {
  const tableSectors = disk.readUInt16LE(22);
  const clusterBytes = disk.readUInt8(13) * SECTOR;
  const rootAt = (disk.readUInt16LE(14) + disk.readUInt8(16) * tableSectors) * SECTOR;
  const dataAt = rootAt + disk.readUInt16LE(17) * ENTRY;
  const table = disk.subarray(disk.readUInt16LE(14) * SECTOR);
  const next = (cluster: number) => {
    const pair = table.readUInt16LE(Math.floor(cluster * 1.5));
    return cluster % 2 === 0 ? pair & 0xfff : pair >> 4;
  };
  const read = (first: number, bytes: number) => {
    const parts: Buffer[] = [];
    for (let cluster = first; cluster >= 2 && cluster < 0xff8; cluster = next(cluster)) {
      const at = dataAt + (cluster - 2) * clusterBytes;
      parts.push(disk.subarray(at, at + clusterBytes));
    }
    return Buffer.concat(parts).subarray(0, bytes).toString();
  };
  const found = new Map<string, string>();
  let [label, long] = ['', ''];
  for (let at = rootAt; at < dataAt && disk[at] !== 0; at += ENTRY) {
    const entry = disk.subarray(at, at + ENTRY);
    if (entry[11] === 0x0f) {
      const piece = Buffer.concat([entry.subarray(1, 11), entry.subarray(14, 26), entry.subarray(28, 32)]);
      long = (piece.toString('utf16le').split('\0')[0] ?? '') + long;
    } else if (entry[11] === 0x08) label = entry.toString('latin1', 0, 11).trim();
    else {
      found.set(long, read(entry.readUInt16LE(26), entry.readUInt32LE(28)));
      long = '';
    }
  }
  return { label, found };
}
