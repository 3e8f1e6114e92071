import type { Vm } from '../../src/model/vm.js';
import type { VmRecords } from '../../src/vm/vm-records.js';

/** Records in memory, which outlive the manager that wrote them. */
export class MemoryVmRecords implements VmRecords {
  readonly rows = new Map<string, Vm>();

  async put(vm: Vm): Promise<void> {
    this.rows.set(vm.name, structuredClone(vm));
  }

  async remove(name: string): Promise<void> {
    this.rows.delete(name);
  }

  async list(): Promise<readonly Vm[]> {
    return [...this.rows.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  }
}
