import { untilAborted } from '../base/abort.js';
import { HubError } from '../model/hub-error.js';
import { checkName } from '../model/names.js';
import type { Snapshot, Vm } from '../model/vm.js';
import { withDeadline } from './deadline.js';
import { asVmError, type Lifecycle } from './lifecycle.js';
import type { MachineContext } from './machine-context.js';
import type { VmProvider } from './provider.js';
import { StageRecorder } from './stage-recorder.js';

/** Takes snapshots and goes back to them. The caller serialises the operations of a machine. */
export class SnapshotService {
  constructor(
    private readonly ctx: MachineContext,
    private readonly lifecycle: Lifecycle,
  ) {}

  /** Oldest first. */
  list(name: string): Promise<readonly Snapshot[]> {
    return this.lifecycle.provider(this.ctx.book.get(name)).listSnapshots(name);
  }

  /** The tasks of a running machine stand still meanwhile and go on however it ends. */
  async take(name: string, snapshot: string, description: string, signal: AbortSignal): Promise<Snapshot> {
    const { vm, provider } = this.capable(name);
    const id = checkName('name', snapshot || `snapshot-${this.ctx.clock.now()}`);
    const resume = vm.state === 'RUNNING' ? await this.freeze(vm, provider, signal) : undefined;
    try {
      return await provider.snapshot(name, id, description, signal);
    } catch (err) {
      throw asVmError(name, 'snapshot', err);
    } finally {
      await resume?.();
    }
  }

  /** @throws HubError SNAPSHOT_NOT_FOUND. */
  async remove(name: string, snapshot: string, signal: AbortSignal): Promise<void> {
    const { provider } = this.capable(name);
    await this.known(name, checkName('snapshot', snapshot));
    await provider.deleteSnapshot(name, snapshot, signal);
  }

  /**
   * Takes a machine back and starts it. The new generation and the end of all attempts are stored before anything
   * is touched, so that nothing of the old life is believed afterwards.
   */
  async restore(name: string, snapshot: string, signal: AbortSignal): Promise<Vm> {
    const { vm, provider } = this.capable(name);
    await this.known(name, checkName('snapshot', snapshot));
    const { book, events, clock } = this.ctx;
    const generation = vm.generation + 1;
    await book.change(name, (it) => ({ ...it, state: 'RESTORING', generation, stages: [], error: '' }));
    return this.lifecycle.orFail(name, 'restore', async () => {
      await untilAborted(events.fence(name, 'RESTORED', generation), signal);
      const recorder = new StageRecorder(book, clock, name);
      await recorder.during('disk', `going back to ${snapshot}`, async () => {
        await provider.stop(name, { force: true }, signal);
        await provider.restore(name, snapshot, signal);
      });
      await this.lifecycle.boot(name, undefined, signal);
      return this.lifecycle.untilOnline(name, signal);
    });
  }

  /** Without an agent to ask, only a provider that stops the processes itself may go on. */
  private async freeze(vm: Vm, provider: VmProvider, signal: AbortSignal): Promise<() => Promise<void>> {
    const { events, clock, deadlines, log } = this.ctx;
    const limit = { what: `freeze of ${vm.name}`, deadlineMs: deadlines.freeze };
    try {
      const resume = await withDeadline(clock, limit, [signal], (inner) =>
        untilAborted(events.freeze(vm.name, inner), inner),
      );
      const warn = (error: unknown) => log.warn('tasks were not told to go on', { vmId: vm.name, error });
      return () => resume().catch(warn);
    } catch (err) {
      signal.throwIfAborted();
      if (!provider.capabilities.freezes) throw err;
      log.info('snapshot without the help of the agent', { vmId: vm.name, error: err });
      return async () => {};
    }
  }

  private capable(name: string): { readonly vm: Vm; readonly provider: VmProvider } {
    const vm = this.ctx.book.get(name);
    const provider = this.lifecycle.provider(vm);
    if (provider.capabilities.snapshot) return { vm, provider };
    const message = `machines of the ${provider.name} provider have no snapshots on this host`;
    throw new HubError('NOT_SUPPORTED', message, { metadata: { provider: provider.name } });
  }

  private async known(name: string, snapshot: string): Promise<void> {
    const names = (await this.list(name)).map((item) => item.name);
    if (names.includes(snapshot)) return;
    const known = names.join(', ');
    const message = `${name} has no snapshot ${snapshot}; ${known ? `it has: ${known}` : 'it has none'}`;
    throw new HubError('SNAPSHOT_NOT_FOUND', message, { metadata: { agent: name, snapshot, known } });
  }
}
