import type { Clock } from '../base/clock.js';
import type { Logger } from '../base/logger.js';
import { HubError } from '../model/hub-error.js';
import type { Vm } from '../model/vm.js';

/** How often machines are looked at. */
const LOOK_MS = 2_000;

/** The machines that {@link Vitals} looks at. */
export interface LivingMachines {
  list(): readonly Vm[];
  /** Whether an operation on it is under way. */
  inOperation(name: string): boolean;
  /** Writes down that a machine does not run any more, if that is so; answers whether it is. */
  noteEnded(name: string, signal: AbortSignal): Promise<boolean>;
}

/** Options of {@link Vitals}. */
export interface VitalsOptions {
  readonly machines: LivingMachines;
  readonly clock: Clock;
  readonly log: Logger;
}

/**
 * Notices machines that end by themselves: switched off from inside, crashed, or killed. What they had in hand is then
 * over at once, instead of waiting for an agent that cannot come back.
 */
export class Vitals implements AsyncDisposable {
  private readonly stopping = new AbortController();
  private running: Promise<void> | undefined;

  constructor(private readonly options: VitalsOptions) {}

  /** Begins to look. Call once the machines' records are true. */
  start(): void {
    this.running ??= this.repeat();
  }

  /** Ends what is under way and waits for it. */
  async close(): Promise<void> {
    this.stopping.abort(new HubError('HUB_STOPPING', 'the hub is stopping'));
    await this.running;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** One look at all machines that should run. */
  async sweep(): Promise<void> {
    const { machines } = this.options;
    const living = machines.list().filter((vm) => vm.state === 'RUNNING' && !machines.inOperation(vm.name));
    await Promise.all(living.map((vm) => this.look(vm.name)));
  }

  private async repeat(): Promise<void> {
    const { clock } = this.options;
    const { signal } = this.stopping;
    while (!signal.aborted) {
      await clock.sleep(LOOK_MS, signal).catch(() => {});
      if (!signal.aborted) await this.sweep();
    }
  }

  private async look(name: string): Promise<void> {
    const { machines, log } = this.options;
    try {
      if (await machines.noteEnded(name, this.stopping.signal)) log.warn('a machine ended', { vmId: name });
    } catch (error) {
      if (!this.stopping.signal.aborted) log.warn('a machine could not be looked at', { vmId: name, error });
    }
  }
}
