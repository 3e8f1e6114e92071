import { dirname } from 'node:path';
import { freshId } from '../../base/fresh-id.js';
import { type RunBytes, runBytes } from '../../base/process.js';
import { asUser, environmentOf, type TaskUser } from '../task-user.js';

/** Exit code of the scripts for what is there and is not a regular file. */
const NOT_A_FILE = 65;
/** For one operation; a file system that hangs must not hang the task for ever. */
const LIMIT_MS = 10 * 60_000;

/** $1 path, $2 most bytes. What is no file any more when dd opens it is not waited for (nonblock). */
const READ = `[ -f "$1" ] || [ ! -e "$1" ] || exit ${NOT_A_FILE}
exec dd if="$1" bs=65536 count="$2" iflag=nofollow,nonblock,count_bytes status=none`;

/** $1 path, $2 its directory, $3 where to write first. */
const WRITE = `set -e
if [ -e "$1" ] && [ ! -f "$1" ]; then exit ${NOT_A_FILE}; fi
mkdir -p -- "$2"
trap 'rm -f -- "$3"' EXIT
dd of="$3" bs=65536 conv=excl,fsync status=none
[ ! -e "$1" ] || chmod --reference="$1" -- "$3"
mv -fT -- "$3" "$1"`;

/** Texts of the system's errors, as coreutils print them in the C locale. */
const CODES: readonly (readonly [text: string, code: string])[] = [
  ['No such file or directory', 'ENOENT'],
  ['Not a directory', 'ENOTDIR'],
  ['Permission denied', 'EACCES'],
  ['Operation not permitted', 'EPERM'],
  ['Read-only file system', 'EROFS'],
  ['Is a directory', 'EISDIR'],
  ['Too many levels of symbolic links', 'ELOOP'],
  ['No such device or address', 'ENXIO'],
  ['No space left on device', 'ENOSPC'],
  ['Disk quota exceeded', 'EDQUOT'],
  ['File name too long', 'ENAMETOOLONG'],
];

/**
 * Files with the rights of another user, for an agent that runs as root: each operation is a short process of that
 * user (coreutils), so that no check of this process stands between a path and what is done to it.
 */
export class UserFiles {
  constructor(private readonly user: TaskUser) {}

  async read(path: string, maxBytes: number): Promise<Buffer> {
    const argv = ['sh', '-c', READ, 'sh', path, String(maxBytes)];
    return (await this.run(path, argv, { maxBytes: maxBytes + 1 })).stdout;
  }

  async write(path: string, data: Buffer): Promise<void> {
    const next = `${path}.${freshId()}.tmp`;
    await this.run(path, ['sh', '-c', WRITE, 'sh', path, dirname(path), next], { input: data });
  }

  async makeDirectory(path: string): Promise<void> {
    await this.run(path, ['mkdir', '-p', '--', path]);
  }

  async rename(from: string, to: string): Promise<void> {
    await this.run(to, ['mv', '-fT', '--', from, to]);
  }

  async remove(path: string): Promise<void> {
    await this.run(path, ['rm', '-rf', '--', path]);
  }

  private async run(
    path: string,
    argv: readonly string[],
    options: { readonly input?: Buffer; readonly maxBytes?: number } = {},
  ): Promise<RunBytes> {
    const [file = '', ...args] = asUser(this.user, argv);
    const env = { ...environmentOf(this.user), LC_ALL: 'C' };
    const result = await runBytes(file, args, { ...options, env, cwd: '/', timeoutMs: LIMIT_MS });
    if (result.code === 0) return result;
    throw failure(path, result);
  }
}

function failure(path: string, { code, stderr }: RunBytes): Error {
  if (code === NOT_A_FILE)
    return Object.assign(new Error(`${path} is not a regular file`), { code: 'ENXIO' });
  const text = stderr.trim().split('\n').pop() ?? '';
  const known = CODES.find(([end]) => text.endsWith(end));
  const message = text === '' ? `${path}: ended with ${code}` : text;
  return known === undefined ? new Error(message) : Object.assign(new Error(message), { code: known[1] });
}
