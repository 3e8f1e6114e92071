import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const SIZE = '256M';
/** EXT4_IOC_SHUTDOWN with NOLOGFLUSH: nothing that was not synced reaches the disk any more. */
const CUT =
  'open(my $d, "<", $ARGV[0]) or die $!; my $how = pack("L", 2); ioctl($d, 0x8004587D, $how) or die $!';

/** A disk of its own that loses power: what was written and not synced is gone afterwards. Only root can have one. */
export class PowerDisk implements Disposable {
  private readonly root = mkdtempSync(join(tmpdir(), 'power-disk-'));
  private life = 1;
  readonly dir = join(this.root, 'mnt');

  /** Why this user cannot have one; undefined when it can. */
  static get missing(): string | undefined {
    try {
      using disk = new PowerDisk();
      disk.cutPower();
      return undefined;
    } catch (err) {
      return String(err).split('\n')[0];
    }
  }

  constructor() {
    try {
      run('mkdir', [this.dir]);
      run('truncate', ['-s', SIZE, this.image]);
      run('mke2fs', ['-q', '-t', 'ext4', this.image]);
      run('mount', ['-o', 'loop', this.image, this.dir]);
    } catch (err) {
      rmSync(this.root, { recursive: true });
      throw err;
    }
  }

  /** From now on every access fails, until the power is back. */
  cutPower(): void {
    run('perl', ['-e', CUT, this.dir]);
  }

  /** Shows what was on the disk: a copy of it, because somebody may still hold the dead one. */
  restorePower(): void {
    const dead = this.image;
    run('umount', ['-l', this.dir]);
    this.life += 1;
    run('cp', ['--sparse=always', dead, this.image]);
    rmSync(dead);
    run('mount', ['-o', 'loop', this.image, this.dir]);
  }

  private get image(): string {
    return join(this.root, `disk-${this.life}`);
  }

  [Symbol.dispose](): void {
    run('umount', ['-l', this.dir]);
    rmSync(this.root, { recursive: true });
  }
}

function run(file: string, args: readonly string[]): void {
  execFileSync(file, args, { stdio: 'pipe' });
}
