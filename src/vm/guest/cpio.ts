/** One entry of an archive. Directories come before what is in them. */
export interface CpioEntry {
  /** Relative, without `./`. */
  readonly path: string;
  /** Type and permissions, as in `st_mode`. */
  readonly mode: number;
  /** Content of a file, or target of a link. */
  readonly data?: Buffer;
  /** Number of a device. */
  readonly device?: readonly [major: number, minor: number];
}

const ALIGN = 4;
const TRAILER = 'TRAILER!!!';

/**
 * An archive as the kernel unpacks it into its first root (format `newc`). Everything belongs to root and has no
 * time, so that equal content gives equal bytes; devices need no rights to be made.
 */
export function cpioArchive(entries: readonly CpioEntry[]): Buffer {
  const parts = entries.map((entry, index) => record(entry, index + 1));
  return Buffer.concat([...parts, record({ path: TRAILER, mode: 0 }, 0)]);
}

function record({ path, mode, data = Buffer.alloc(0), device = [0, 0] }: CpioEntry, inode: number): Buffer {
  const name = Buffer.from(`${path}\0`);
  const links = (mode & 0o170000) === 0o040000 ? 2 : 1;
  const fields = [inode, mode, 0, 0, links, 0, data.length, 0, 0, ...device, name.length, 0];
  const head = `070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}`;
  return Buffer.concat([padded(Buffer.concat([Buffer.from(head), name])), padded(data)]);
}

function padded(data: Buffer): Buffer {
  const rest = data.length % ALIGN;
  return rest === 0 ? data : Buffer.concat([data, Buffer.alloc(ALIGN - rest)]);
}
