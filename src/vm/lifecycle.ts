import { untilAborted } from '../base/abort.js';
import { messageOf } from '../base/errno.js';
import { HubError } from '../model/hub-error.js';
import type { Vm } from '../model/vm.js';
import { renewed } from '../model/vm-life.js';
import { withDeadline } from './deadline.js';
import type { MachineContext } from './machine-context.js';
import type { ProviderState, VmProvider } from './provider.js';
import { StageRecorder } from './stage-recorder.js';

/** How often a machine is looked at while its agent is waited for. */
const LIVENESS_POLL_MS = 500;
const ERROR_CHARS = 4096;
const WAITING = 'waiting for the agent to connect';

/** Starts and stops machines and writes down how that went. The caller serialises the operations of a machine. */
export class Lifecycle {
  constructor(private readonly ctx: MachineContext) {}

  /** Starts it and waits for its agent. Does nothing when it runs. */
  async start(name: string, signal: AbortSignal): Promise<Vm> {
    const { book } = this.ctx;
    const vm = book.get(name);
    if (vm.state === 'RUNNING' && (await this.inspect(vm, signal)) === 'running') return vm;
    await book.change(name, (it) => ({ ...it, state: 'STARTING', stages: [], error: '' }));
    return this.orFail(name, 'start', async () => {
      await this.boot(name, undefined, signal);
      return this.untilOnline(name, signal);
    });
  }

  /** Ends what its agent has in hand and stops it. Does nothing when it is stopped. */
  async stop(name: string, force: boolean, signal: AbortSignal): Promise<Vm> {
    const { book } = this.ctx;
    const vm = book.get(name);
    if (vm.state === 'STOPPED' && (await this.inspect(vm, signal)) === 'stopped') return vm;
    await book.change(name, (it) => ({ ...it, state: 'STOPPING', stages: [], error: '' }));
    return this.orFail(name, 'stop', async () => {
      await untilAborted(this.ctx.events.fence(name, 'VM_STOPPED', vm.generation), signal);
      await this.provider(vm).stop(name, { force }, signal);
      await this.markStopped(name, '');
      return book.get(name);
    });
  }

  /** A machine that ended by itself is over, and with it what its agent had in hand; false when it runs after all. */
  async noteEnded(name: string, signal: AbortSignal): Promise<boolean> {
    const vm = this.ctx.book.find(name);
    if (vm?.state !== 'RUNNING' || (await this.inspect(vm, signal)) !== 'stopped') return false;
    await untilAborted(this.ctx.events.fence(name, 'VM_STOPPED', vm.generation), signal);
    const tail = (await this.provider(vm).consoleTail(name)).trim();
    const error = `it ended by itself; "vm-agent start ${name}" brings it back. Last console lines: ${tail || 'none'}`;
    await this.markStopped(name, error.slice(0, ERROR_CHARS));
    return true;
  }

  /** Starts the machine itself; afterwards it is RUNNING. */
  async boot(name: string, joinSecret: string | undefined, signal: AbortSignal): Promise<void> {
    const { book, clock, door } = this.ctx;
    const vm = book.get(name);
    const recorder = new StageRecorder(book, clock, name);
    const info = { agentId: name, door: door(), vmGeneration: vm.generation };
    const secret = joinSecret === undefined ? {} : { joinSecret };
    try {
      await this.provider(vm).start(name, { ...info, ...secret }, recorder.report, signal);
    } finally {
      await recorder.flush();
    }
    const acceleration = await this.provider(vm).acceleration?.(signal);
    if (acceleration) await book.note(name, (it) => ({ ...it, acceleration }), false);
    await this.markRunning(name);
  }

  /** Waits for the agent; a machine that ends meanwhile ends the wait with its last console lines. */
  async untilOnline(name: string, signal: AbortSignal): Promise<Vm> {
    const { book, events, clock } = this.ctx;
    const vm = book.get(name);
    const recorder = new StageRecorder(book, clock, name);
    const over = new AbortController();
    const inner = AbortSignal.any([signal, over.signal]);
    try {
      const arrives = () =>
        Promise.race([
          untilAborted(events.online(name, vm.generation, inner), inner),
          this.untilStopped(vm, inner),
        ]);
      await recorder.during('agent', WAITING, arrives, 'the agent is connected');
    } finally {
      over.abort();
    }
    return book.get(name);
  }

  markRunning(name: string): Promise<void> {
    const startMs = this.ctx.clock.now();
    return this.ctx.book.change(name, (vm) => ({
      ...vm,
      state: 'RUNNING',
      error: '',
      startMs,
      ...renewed(vm.life, startMs),
    }));
  }

  markStopped(name: string, error: string): Promise<void> {
    return this.ctx.book.change(name, ({ startMs: _, ...vm }) => ({ ...vm, state: 'STOPPED', error }));
  }

  async markFailed(name: string, error: string): Promise<void> {
    this.ctx.log.warn('machine failed', { vmId: name, reason: error });
    const text = error.slice(0, ERROR_CHARS);
    await this.ctx.book.change(name, (vm) => ({ ...vm, state: 'FAILED', error: text }));
  }

  /**
   * Runs a part of an operation; when it fails the machine is FAILED with the reason.
   *
   * @throws HubError what was thrown, or VM_FAILED around it.
   */
  async orFail<T>(name: string, operation: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (err) {
      await this.markFailed(name, `${operation}: ${messageOf(err)}`);
      throw asVmError(name, operation, err);
    }
  }

  /** What the provider says, within its deadline. */
  inspect(vm: Vm, signal: AbortSignal): Promise<ProviderState> {
    const { clock, deadlines } = this.ctx;
    const limit = { what: `look at ${vm.name}`, deadlineMs: deadlines.inspect };
    return withDeadline(clock, limit, [signal], (inner) =>
      untilAborted(this.provider(vm).inspect(vm.name, inner), inner),
    );
  }

  provider(vm: Vm): VmProvider {
    return this.ctx.registry.get(vm.provider);
  }

  private async untilStopped(vm: Vm, signal: AbortSignal): Promise<never> {
    for (;;) {
      await this.ctx.clock.sleep(LIVENESS_POLL_MS, signal);
      if ((await this.inspect(vm, signal)) !== 'stopped') continue;
      const tail = (await this.provider(vm).consoleTail(vm.name)).trim();
      const message = `the machine ended before its agent was connected; last console lines: ${tail || 'none'}`;
      throw new HubError('VM_FAILED', message, { metadata: { vm: vm.name, console: tail } });
    }
  }
}

/** What is told to the caller of an operation that failed. */
export function asVmError(name: string, operation: string, err: unknown): HubError {
  if (err instanceof HubError) return err;
  const message = `the ${operation} of ${name} failed: ${messageOf(err)}`;
  return new HubError('VM_FAILED', message, { metadata: { vm: name, operation }, cause: err });
}
