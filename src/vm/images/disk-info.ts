import { HubError } from '../../model/hub-error.js';
import { runTool, type ToolOptions } from './tool.js';

/** What is known of a disk file. */
export interface DiskInfo {
  readonly format: 'qcow2' | 'raw';
  readonly virtualSizeBytes: number;
  /** Bytes that it takes on its host. */
  readonly allocatedBytes: number;
}

/** Largest disk that is taken in. */
const MAX_BYTES = 1024 ** 4;
/** No system fits in less. */
const MIN_BYTES = 1024 ** 2;
const SECTOR = 512;

/**
 * Looks at a disk file that somebody brought, and refuses what could reach beyond it.
 *
 * @param path Absolute, so that it cannot be read as a protocol.
 * @throws HubError IMAGE_FAILED with what is wrong.
 */
export async function inspectDisk(path: string, options: ToolOptions): Promise<DiskInfo> {
  const said = await runTool('qemu-img', ['info', '--output=json', '--', path], options).catch(
    (err: unknown) => {
      throw err instanceof HubError && err.reason === 'IMAGE_FAILED' ? refusal(path, err.message) : err;
    },
  );
  const info = JSON.parse(said) as Record<string, unknown>;
  const problem = problemOf(info);
  if (problem !== undefined) throw refusal(path, problem);
  return {
    format: info.format === 'qcow2' ? 'qcow2' : 'raw',
    virtualSizeBytes: Number(info['virtual-size']),
    allocatedBytes: Number(info['actual-size'] ?? 0),
  };
}

/**
 * Refuses a raw disk that no machine can start from: every disk with a bootloader has a boot sector, and so do those
 * for UEFI.
 *
 * @param sector First bytes of the disk.
 */
export function checkBootSector(path: string, sector: Buffer): void {
  if (sector.length >= SECTOR && sector.readUInt16LE(SECTOR - 2) === 0xaa55) return;
  throw refusal(path, 'it has no boot sector, so no machine can start from it');
}

function problemOf(info: Record<string, unknown>): string | undefined {
  const { format } = info;
  if (format !== 'qcow2' && format !== 'raw') {
    return `its format is ${String(format)}; convert it first: qemu-img convert -O qcow2 FILE NEW`;
  }
  if (info['backing-filename'] !== undefined) {
    return 'it builds on another file; make it whole first: qemu-img convert -O qcow2 FILE NEW';
  }
  const specific = data(data(info['format-specific']).data);
  if (info.encrypted === true || specific.encrypt !== undefined) return 'it is encrypted';
  if (specific['data-file'] !== undefined) return 'its data is in another file';
  if (specific.corrupt === true || info['dirty-flag'] === true) {
    return 'it is damaged; try: qemu-img check -r all FILE';
  }
  const bytes = info['virtual-size'];
  if (typeof bytes !== 'number' || bytes < MIN_BYTES || bytes > MAX_BYTES) {
    return `it is a disk of ${String(bytes)} bytes; 1 MiB to 1 TiB are possible`;
  }
  return undefined;
}

function data(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}

function refusal(path: string, problem: string): HubError {
  const message = `${path} cannot be imported: ${problem}`;
  return new HubError('IMAGE_FAILED', message, { metadata: { path } });
}
