import { closeSync, constants, openSync, unlinkSync } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { Socket } from 'node:net';
import { join } from 'node:path';
import { run } from '../base/process.js';

/** How many are made at once: one small program makes them all. */
const BATCH = 64;

/** A pipe: the agent reads one end, a process gets the other. */
export interface OutputPipe {
  readonly reader: Socket;
  /** To be closed once the process has it. */
  readonly writeFd: number;
}

/**
 * Real pipes for the output of processes. Those that Node.js makes are sockets, which a process cannot open again
 * by name: `echo text > /dev/stderr` fails with ENXIO on them. A named pipe is opened at both ends and its name
 * removed at once.
 */
export class PipePool {
  private readonly ready: string[] = [];
  private making: Promise<void> | undefined;
  private count = 0;

  /** `dir` is emptied by {@link start}. */
  constructor(private readonly dir: string) {}

  async start(): Promise<void> {
    await rm(this.dir, { recursive: true, force: true });
    await mkdir(this.dir, { recursive: true, mode: 0o700 });
  }

  /** A fresh pipe. */
  async take(): Promise<OutputPipe> {
    while (this.ready.length === 0) await this.refill();
    const path = this.ready.pop() ?? '';
    if (this.ready.length < BATCH / 4) void this.refill().catch(() => {});
    return openBothEnds(path);
  }

  async close(): Promise<void> {
    await this.making?.catch(() => {});
    await rm(this.dir, { recursive: true, force: true });
  }

  private refill(): Promise<void> {
    this.making ??= this.make().finally(() => {
      this.making = undefined;
    });
    return this.making;
  }

  private async make(): Promise<void> {
    const paths = Array.from({ length: BATCH }, () => {
      this.count += 1;
      return join(this.dir, String(this.count));
    });
    const result = await run('mkfifo', ['-m', '600', '--', ...paths]);
    if (result.code !== 0) throw new Error(`mkfifo failed: ${result.stderr.trim()}`);
    this.ready.push(...paths);
  }
}

function openBothEnds(path: string): OutputPipe {
  const readFd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const writeFd = openSync(path, constants.O_WRONLY);
    return { reader: new Socket({ fd: readFd, readable: true, writable: false }), writeFd };
  } catch (err) {
    closeSync(readFd);
    throw err;
  } finally {
    unlinkSync(path);
  }
}
