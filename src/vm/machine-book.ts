import { KeyedMutex } from '../base/keyed-mutex.js';
import { HubError } from '../model/hub-error.js';
import type { Vm, VmStage } from '../model/vm.js';
import type { MachineEvents } from './machine-events.js';
import type { VmRecords } from './vm-records.js';

/**
 * What is known of each machine. A change is stored first, then seen in memory, then told to the hub; changes of
 * one machine happen one after the other.
 */
export class MachineBook {
  private readonly vms = new Map<string, Vm>();
  private readonly mutex = new KeyedMutex();

  constructor(
    private readonly records: VmRecords,
    private readonly events: Pick<MachineEvents, 'changed'>,
  ) {}

  /** Reads all records. */
  async load(): Promise<void> {
    for (const vm of await this.records.list()) this.vms.set(vm.name, complete(vm));
  }

  find(name: string): Vm | undefined {
    return this.vms.get(name);
  }

  /** @throws HubError VM_NOT_FOUND. */
  get(name: string): Vm {
    const vm = this.vms.get(name);
    if (vm) return vm;
    throw new HubError('VM_NOT_FOUND', `there is no machine ${name}`, { metadata: { vm: name } });
  }

  /** By name. */
  list(): readonly Vm[] {
    return [...this.vms.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** Adds a machine, in the place of an old one of this name. */
  add(vm: Vm): Promise<void> {
    return this.mutex.run(vm.name, () => this.write(vm));
  }

  /** Changes a machine; does nothing when it was removed. Answers it as it is now. */
  change(name: string, edit: (vm: Vm) => Vm, stage?: VmStage): Promise<void> {
    return this.mutex.run(name, async () => {
      const vm = this.vms.get(name);
      if (vm) await this.write(edit(vm), stage);
    });
  }

  /** Changes what no event tells of; in memory only, unless `durable`. Does nothing when it was removed. */
  note(name: string, edit: (vm: Vm) => Vm, durable: boolean): Promise<void> {
    return this.mutex.run(name, async () => {
      const vm = this.vms.get(name);
      if (!vm) return;
      const next = edit(vm);
      if (durable) await this.records.put(next);
      this.vms.set(name, next);
    });
  }

  remove(name: string): Promise<void> {
    return this.mutex.run(name, async () => {
      await this.records.remove(name);
      this.vms.delete(name);
    });
  }

  private async write(vm: Vm, stage?: VmStage): Promise<void> {
    await this.records.put(vm);
    this.vms.set(vm.name, vm);
    await this.events.changed(vm, stage);
  }
}

/** A record of a hub that knew less: its machines had the network of the host. */
function complete(vm: Vm): Vm {
  return { ...vm, network: vm.network ?? 'host' };
}
