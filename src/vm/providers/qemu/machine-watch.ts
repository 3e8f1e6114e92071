import { statfs } from 'node:fs/promises';
import { onAbort } from '../../../base/abort.js';
import type { Clock } from '../../../base/clock.js';
import { deferred } from '../../../base/deferred.js';
import { runDetached } from '../../../base/detached.js';
import type { Logger } from '../../../base/logger.js';
import { ClosedRoutes } from './closed-routes.js';
import type { MachinePaths, MachineRecord } from './machine-record.js';
import type { MachineRunner } from './machine-runner.js';

/** Options of {@link MachineWatch}. */
export interface WatchOptions {
  readonly runner: MachineRunner;
  readonly clock: Clock;
  readonly log: Logger;
  /** Whether machines have network namespaces of their own. */
  readonly namespaces: (signal: AbortSignal) => Promise<boolean>;
  /** Milliseconds between two looks at a machine. Default 3000. */
  readonly everyMs?: number;
  /** Free bytes from which a machine may go on. Default 64 MiB. */
  readonly roomBytes?: number;
}

/** A machine that is looked after. */
interface Watched {
  readonly paths: MachinePaths;
  readonly record: MachineRecord;
}

const LOOK_MS = 3_000;
const ROOM_BYTES = 64 * 1024 ** 2;

/**
 * Looks after running machines: one that stands still because the host's disk is full goes on, without loss, when
 * there is room; and addresses that the host gets meanwhile are closed to them. Ends with the hub; the next one looks after what it adopts.
 */
export class MachineWatch {
  private readonly watched = new Map<string, Watched>();
  private readonly stopped = new AbortController();
  private readonly paused = new Set<string>();
  private readonly looking = new Set<string>();
  private readonly routes = new ClosedRoutes();
  private running = false;

  constructor(private readonly options: WatchOptions) {}

  /** Begins to look after a machine that runs. Once it does not, nobody does any more. */
  add(paths: MachinePaths, record: MachineRecord): void {
    if (this.stopped.signal.aborted) return;
    this.watched.set(paths.name, { paths, record });
    if (this.running) return;
    this.running = true;
    runDetached(this.options.log, 'looking after machines', () => this.run());
  }

  close(): void {
    this.stopped.abort();
  }

  private async run(): Promise<void> {
    const { clock, log, everyMs = LOOK_MS } = this.options;
    const { signal } = this.stopped;
    while (this.watched.size > 0 && !signal.aborted) {
      await pause(clock, everyMs, signal);
      // One that hangs, or is being saved, holds up nobody else.
      for (const [name, machine] of this.watched) {
        if (!signal.aborted && !this.looking.has(name)) {
          runDetached(log, `looking after ${name}`, () => this.look(name, machine, signal));
        }
      }
    }
    this.running = false;
  }

  private async look(name: string, machine: Watched, signal: AbortSignal): Promise<void> {
    const { runner, log } = this.options;
    this.looking.add(name);
    try {
      const qemu = await runner.find(machine.record);
      if (qemu === undefined) return this.forget(name);
      await this.letGoOn(name, machine, signal);
      if (await this.isKeptApart(machine.record, signal)) {
        const ownUser = machine.record.uid !== undefined;
        await this.routes.keep(name, { pid: qemu.pid, ownUser }, signal);
      }
    } catch (error) {
      if (!signal.aborted) log.debug('a machine could not be looked at', { vmId: name, error });
    } finally {
      this.looking.delete(name);
    }
  }

  private async letGoOn(name: string, { paths, record }: Watched, signal: AbortSignal): Promise<void> {
    const { runner, log } = this.options;
    const { status } = await runner.monitor(record).status(signal);
    if (status !== 'io-error') {
      this.paused.delete(name);
      return;
    }
    if (!this.paused.has(name)) {
      log.warn('a machine stands still: its disk cannot be written', { vmId: name });
    }
    this.paused.add(name);
    if (!(await this.hasRoom(paths))) return;
    await runner.monitor(record).resume(signal);
    log.info('a machine goes on: its disk has room again', { vmId: name });
  }

  private forget(name: string): void {
    this.watched.delete(name);
    this.paused.delete(name);
    this.routes.forget(name);
  }

  private async isKeptApart({ spec }: MachineRecord, signal: AbortSignal): Promise<boolean> {
    return spec.network === 'internet' && (await this.options.namespaces(signal));
  }

  private async hasRoom(paths: MachinePaths): Promise<boolean> {
    const { bavail, bsize } = await statfs(paths.vm);
    return bavail * bsize >= (this.options.roomBytes ?? ROOM_BYTES);
  }
}

/** Waits without keeping the process alive. */
async function pause(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  const over = deferred();
  using _timer = clock.after(ms, () => over.resolve());
  using _abort = onAbort(signal, () => over.resolve());
  await over.promise;
}
