import { createHash, randomUUID } from 'node:crypto';
import { createReadStream, existsSync } from 'node:fs';
import {
  chmod,
  copyFile,
  mkdir,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { isErrno } from '../../base/errno.js';
import { HubError } from '../../model/hub-error.js';
import { makeExt4 } from './ext4.js';
import { type RuntimeSources, runtimeContent } from './runtime-content.js';
import type { RuntimeEntry } from './runtime-entry.js';

const FILE = 'agent.ext4';
const PARTIAL = '.partial-';
/** A half-made disk that is older than this was left by a hub that died. */
const STALE_MS = 60 * 60_000;

/** What {@link ensureRuntimeDisk} is told. */
export interface RuntimeDiskOptions extends RuntimeSources {
  /** Directory of all runtime disks; made when it is missing. */
  readonly dir: string;
}

/** A runtime disk on the host. Immutable: another content is another disk. */
export interface RuntimeDisk {
  readonly path: string;
  /** SHA-256 of what is on it. */
  readonly id: string;
  /** Whether it is new. */
  readonly made: boolean;
}

/**
 * The read-only disk with Node.js, npm, the agent and all that a guest needs to run it. It is made when there is none
 * of this content, complete or not at all, without any rights; otherwise it is found within some milliseconds.
 *
 * @throws HubError PROVIDER_UNAVAILABLE (a tool is missing), DISK_FULL, VM_FAILED.
 */
export async function ensureRuntimeDisk(
  options: RuntimeDiskOptions,
  signal: AbortSignal,
): Promise<RuntimeDisk> {
  const { dir } = options;
  const content = await runtimeContent(options);
  const known = join(dir, `inputs-${await fingerprint(content)}`);
  const id = await readFile(known, 'utf8').catch(() => '');
  const path = join(dir, id, FILE);
  if (id !== '' && existsSync(path)) return { path, id, made: false };
  const disk = await build(dir, content, signal);
  await writeAtomic(known, disk.id);
  return disk;
}

/** Changes whenever a file is another one; contents are not read. */
async function fingerprint(content: readonly RuntimeEntry[]): Promise<string> {
  const lines = await Promise.all(
    content.map(async (entry) => {
      if (!('source' in entry)) return JSON.stringify(entry);
      const { size, mtimeMs, ctimeMs, ino, mode } = await stat(entry.source);
      return JSON.stringify([entry, size, mtimeMs, ctimeMs, ino, mode]);
    }),
  );
  return createHash('sha256').update(lines.join('\n')).digest('hex').slice(0, 32);
}

async function build(
  dir: string,
  content: readonly RuntimeEntry[],
  signal: AbortSignal,
): Promise<RuntimeDisk> {
  const partial = join(dir, `${PARTIAL}${randomUUID()}`);
  const tree = join(partial, 'tree');
  try {
    await mkdir(dir, { recursive: true });
    await mkdir(tree, { recursive: true, mode: 0o700 });
    await removeStale(dir);
    const id = await stage(tree, content, signal);
    const path = join(dir, id, FILE);
    if (existsSync(path)) return { path, id, made: false };
    await mkdir(join(partial, id), { mode: 0o755 });
    await makeExt4({ tree, file: join(partial, id, FILE), label: 'vma-runtime' }, signal);
    await rename(join(partial, id), join(dir, id)).catch((err: unknown) => {
      // Another one was as fast.
      if (!isErrno(err, 'EEXIST', 'ENOTEMPTY') || !existsSync(path)) throw err;
    });
    return { path, id, made: true };
  } catch (err) {
    if (isErrno(err, 'ENOSPC', 'EDQUOT'))
      throw new HubError('DISK_FULL', `there is no room for the runtime disk in ${dir}; free some`, {
        cause: err,
      });
    throw err;
  } finally {
    await rm(partial, { recursive: true, force: true });
  }
}

/** Puts everything into a tree; answers the hash of it all. */
async function stage(tree: string, content: readonly RuntimeEntry[], signal: AbortSignal): Promise<string> {
  const dirs = new Set(content.map(({ path }) => dirname(path)));
  for (const dir of dirs) await mkdir(join(tree, dir), { recursive: true, mode: 0o755 });
  const whole = createHash('sha256');
  for (const entry of content) {
    signal.throwIfAborted();
    whole.update(`${entry.path}\0${await stageOne(join(tree, entry.path), entry)}\n`);
  }
  return `sha256-${whole.digest('hex')}`;
}

/** Answers what is hashed of one entry: kind, permissions, content. */
async function stageOne(target: string, entry: RuntimeEntry): Promise<string> {
  if ('link' in entry) {
    await symlink(entry.link, target);
    return `link ${entry.link}`;
  }
  if ('text' in entry) {
    const mode = entry.executable === true ? 0o755 : 0o644;
    await writeFile(target, entry.text, { mode });
    return `${mode} ${createHash('sha256').update(entry.text).digest('hex')}`;
  }
  const mode = ((await stat(entry.source)).mode & 0o111) === 0 ? 0o644 : 0o755;
  await copyFile(entry.source, target);
  await chmod(target, mode);
  const hash = createHash('sha256');
  await pipeline(createReadStream(target), hash);
  return `${mode} ${hash.digest('hex')}`;
}

async function removeStale(dir: string): Promise<void> {
  for (const name of (await readdir(dir)).filter((entry) => entry.startsWith(PARTIAL))) {
    const found = await stat(join(dir, name)).catch(() => undefined);
    if (found !== undefined && Date.now() - found.mtimeMs > STALE_MS)
      await rm(join(dir, name), { recursive: true, force: true });
  }
}

async function writeAtomic(path: string, text: string): Promise<void> {
  const next = `${path}.${randomUUID()}`;
  await writeFile(next, text, { mode: 0o600 });
  await rename(next, path);
}
