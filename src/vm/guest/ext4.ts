import { existsSync } from 'node:fs';
import { chmod, lstat, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isErrno } from '../../base/errno.js';
import { run } from '../../base/process.js';
import { HubError } from '../../model/hub-error.js';

/** Where e2fsprogs is, also for users whose PATH does not say so. */
const PLACES = ['/usr/sbin', '/sbin', '/usr/local/sbin', '/usr/bin', '/opt/homebrew/opt/e2fsprogs/sbin'];
const BLOCK = 4096;
const INODE_BYTES = 256;
const SPARE_BYTES = 8 * 1024 * 1024;
const LIMIT_MS = 120_000;

/** What {@link makeExt4} is told. */
export interface Ext4Options {
  /** What is on it. */
  readonly tree: string;
  /** The file to make; must not be there. */
  readonly file: string;
  /** At most 16 characters. */
  readonly label: string;
}

/** What a tree takes. */
interface TreeSize {
  readonly bytes: number;
  /** Relative to the tree. */
  readonly paths: readonly string[];
}

/**
 * Makes a file system that is only read: as large as its tree, without a journal, with everything belonging to root
 * whoever made it. Needs no rights.
 *
 * @throws HubError PROVIDER_UNAVAILABLE without e2fsprogs, DISK_FULL, VM_FAILED.
 */
export async function makeExt4(options: Ext4Options, signal: AbortSignal): Promise<void> {
  const { tree, file, label } = options;
  const { bytes, paths } = await measure(tree);
  const inodes = paths.length + 64;
  const kib = Math.ceil((bytes * 1.02 + inodes * INODE_BYTES + SPARE_BYTES) / 1024);
  const features = '^has_journal,^resize_inode';
  const args = [
    '-q',
    '-F',
    '-t',
    'ext4',
    '-O',
    features,
    '-b',
    String(BLOCK),
    '-m',
    '0',
    '-N',
    String(inodes),
  ];
  const root = ['-E', 'root_owner=0:0', '-L', label];
  await tool('mke2fs', [...args, ...root, '-d', tree, file, `${kib}k`], signal);
  if ((await lstat(tree)).uid !== 0) await giveToRoot(file, paths, signal);
  await chmod(file, 0o444);
}

/** mke2fs keeps the owners of the tree; a user's own files become root's inside of the file system. */
async function giveToRoot(file: string, paths: readonly string[], signal: AbortSignal): Promise<void> {
  const commands = `${file}.owners`;
  const lines = paths.flatMap((path) => [`sif "/${path}" uid 0`, `sif "/${path}" gid 0`]);
  await writeFile(commands, `${lines.join('\n')}\n`, { mode: 0o600 });
  try {
    await tool('debugfs', ['-w', '-f', commands, file], signal);
  } finally {
    await rm(commands, { force: true });
  }
}

async function measure(tree: string, prefix = ''): Promise<TreeSize> {
  const names = await readdir(join(tree, prefix));
  let bytes = BLOCK;
  const paths: string[] = [];
  for (const name of names) {
    const path = prefix === '' ? name : `${prefix}/${name}`;
    const found = await lstat(join(tree, path));
    paths.push(path);
    bytes += Math.ceil(found.size / BLOCK) * BLOCK;
    if (!found.isDirectory()) continue;
    const below = await measure(tree, path);
    bytes += below.bytes;
    paths.push(...below.paths);
  }
  return { bytes, paths };
}

async function tool(name: string, args: readonly string[], signal: AbortSignal): Promise<void> {
  const place = PLACES.map((dir) => join(dir, name)).find((path) => existsSync(path)) ?? name;
  try {
    const { code, stderr } = await run(place, args, { signal, timeoutMs: LIMIT_MS });
    if (code !== 0) throw toolFailed(name, stderr.trim().slice(0, 500) || `it ended with ${code}`);
  } catch (err) {
    if (!isErrno(err, 'ENOENT')) throw err;
    const message = `${name} is missing; install e2fsprogs (Debian: apt-get install e2fsprogs)`;
    throw new HubError('PROVIDER_UNAVAILABLE', message, { metadata: { tool: name } });
  }
}

function toolFailed(name: string, detail: string): HubError {
  const full = /No space left on device|Disk quota exceeded/.test(detail);
  const message = `${name} failed: ${detail}`;
  return new HubError(full ? 'DISK_FULL' : 'VM_FAILED', message, { metadata: { tool: name, detail } });
}
