import {
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { BOOT_DISK_BYTES, type GuestBoot, guestBootFrom, readBootDisk } from '../../model/guest-boot.js';

const NAME = 'boot.json';

/** Where a guest's agent finds what it is told. */
export interface BootSourceOptions {
  /** Serial of the boot disk, or its path when it begins with `/`. */
  readonly disk: string;
  /** Directory that is empty after each boot of the guest. */
  readonly runDir: string;
}

/**
 * What the machine is told from outside: by its boot disk and, after its memory was restored, by the control port.
 * The newer one counts: after a restore the kernel may still remember the disk as it was before.
 */
export class BootSource {
  constructor(private readonly options: BootSourceOptions) {}

  /** @throws HubError or a system error when there is no boot disk, or it is not one. */
  read(): GuestBoot {
    const told = readBootDisk(readStart(devicePath(this.options.disk)));
    const kept = this.kept();
    return kept !== undefined && kept.vmGeneration > told.vmGeneration ? kept : told;
  }

  /** Keeps what the control port told, for agents that start later in this boot. */
  keep(boot: GuestBoot): void {
    const { runDir } = this.options;
    mkdirSync(runDir, { recursive: true, mode: 0o700 });
    const path = join(runDir, NAME);
    writeFileSync(`${path}.next`, JSON.stringify(boot), { mode: 0o600 });
    renameSync(`${path}.next`, path);
  }

  /** Undefined unless an agent was told in this boot. */
  kept(): GuestBoot | undefined {
    try {
      return guestBootFrom(JSON.parse(readFileSync(join(this.options.runDir, NAME), 'utf8')));
    } catch {
      return undefined;
    }
  }
}

/** The block device with a serial. @throws Error when there is none. */
export function devicePath(disk: string): string {
  if (disk.startsWith('/')) return disk;
  const name = readdirSync('/sys/block').find((block) => serialOf(block) === disk);
  if (name === undefined) throw new Error(`there is no disk with the serial ${disk}`);
  return join('/dev', name);
}

function serialOf(block: string): string {
  try {
    return readFileSync(`/sys/block/${block}/serial`, 'latin1').trim();
  } catch {
    return '';
  }
}

function readStart(path: string): Buffer {
  const buffer = Buffer.alloc(BOOT_DISK_BYTES);
  const fd = openSync(path, 'r');
  try {
    return buffer.subarray(0, readSync(fd, buffer, 0, buffer.length, 0));
  } finally {
    closeSync(fd);
  }
}
