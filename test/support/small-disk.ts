import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isErrno } from '../../src/base/errno.js';

const CHUNK = 16 * 1024 ** 2;

/** A disk of its own that is soon full: a tmpfs of a few MiB. Only root can have one. */
export class SmallDisk implements Disposable {
  readonly dir = mkdtempSync(join(tmpdir(), 'small-disk-'));

  /** Whether this user may mount one. */
  static get possible(): boolean {
    try {
      using _ = new SmallDisk(1);
      return true;
    } catch {
      return false;
    }
  }

  constructor(mebibytes = 16) {
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${mebibytes}m`, 'small-disk', this.dir], {
        stdio: 'pipe',
      });
    } catch (err) {
      rmSync(this.dir, { recursive: true });
      throw err;
    }
  }

  /** Bytes that are free. */
  get free(): number {
    const { bavail, bsize } = statfsSync(this.dir);
    return bavail * bsize;
  }

  /** Takes all the room but `leave` bytes. */
  fill(leave = 0): void {
    const file = join(this.dir, `filler-${Date.now()}-${Math.random()}`);
    try {
      for (let bytes = this.free - leave; bytes > 0; bytes -= CHUNK) {
        writeFileSync(file, Buffer.alloc(Math.min(bytes, CHUNK)), { flag: 'a' });
      }
    } catch (err) {
      // Somebody else took the last of it.
      if (!isErrno(err, 'ENOSPC')) throw err;
    }
  }

  /** Gives the room back. */
  clear(): void {
    execFileSync('sh', ['-c', 'rm -f -- "$1"/filler-*', 'sh', this.dir]);
  }

  /** Makes it read-only, or writable again. */
  setReadOnly(readOnly: boolean): void {
    execFileSync('mount', ['-o', `remount,${readOnly ? 'ro' : 'rw'}`, this.dir], { stdio: 'pipe' });
  }

  [Symbol.dispose](): void {
    execFileSync('umount', ['-l', this.dir], { stdio: 'pipe' });
    rmSync(this.dir, { recursive: true });
  }
}
