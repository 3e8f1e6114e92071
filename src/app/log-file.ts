import { closeSync, fstatSync, openSync, renameSync, rmSync, writeSync } from 'node:fs';

/** Size at which a log file is put aside, and how many old ones are kept. */
const MAX_BYTES = 10 * 1024 * 1024;
const KEPT = 5;

/** A log file that is put aside as `.1`, `.2`, … when it is full. Writing never throws: logs are not worth a crash. */
export class LogFile {
  private fd: number;
  private size: number;

  constructor(
    private readonly path: string,
    private readonly maxBytes = MAX_BYTES,
  ) {
    this.fd = openSync(path, 'a', 0o600);
    this.size = fstatSync(this.fd).size;
  }

  write(text: string): void {
    try {
      const bytes = Buffer.from(text);
      if (this.size > 0 && this.size + bytes.length > this.maxBytes) this.rotate();
      writeSync(this.fd, bytes);
      this.size += bytes.length;
    } catch {
      // A full disk must not stop the hub; the next line is tried again.
    }
  }

  close(): void {
    closeSync(this.fd);
  }

  /** The old file stays open until the new one is: a number that was closed may be another file's by now. */
  private rotate(): void {
    rmSync(`${this.path}.${KEPT}`, { force: true });
    for (let n = KEPT - 1; n >= 1; n -= 1) renameIfThere(`${this.path}.${n}`, `${this.path}.${n + 1}`);
    renameIfThere(this.path, `${this.path}.1`);
    const fd = openSync(this.path, 'a', 0o600);
    closeSync(this.fd);
    this.fd = fd;
    this.size = 0;
  }
}

function renameIfThere(from: string, to: string): void {
  try {
    renameSync(from, to);
  } catch {
    // Not there yet.
  }
}
