import type { Vm } from '../model/vm.js';

/** Where the VM manager keeps what it knows of its machines. Durable when a promise resolves. */
export interface VmRecords {
  put(vm: Vm): Promise<void>;
  remove(name: string): Promise<void>;
  /** By name. */
  list(): Promise<readonly Vm[]>;
}
