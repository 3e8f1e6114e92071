import type { Vm, VmStage } from '../model/vm.js';

/** What the VM manager asks of the hub. */
export interface MachineEvents {
  /** A machine's state or stage changed. */
  changed(vm: Vm, stage?: VmStage): Promise<void>;
  /**
   * A machine is about to be stopped or restored: the attempts that it has in hand end as LOST with this reason,
   * its session is closed, and agents with a smaller `vmGeneration` are refused. Resolves when that is stored.
   */
  fence(
    name: string,
    reason: 'VM_STOPPED' | 'RESTORED' | 'VM_DESTROYED',
    vmGeneration: number,
  ): Promise<void>;
  /** Freezes the agent's tasks for a snapshot; resolves with how to let them go on. */
  freeze(name: string, signal: AbortSignal): Promise<() => Promise<void>>;
  /** Resolves once the agent is connected with this generation of its machine. */
  online(name: string, vmGeneration: number, signal: AbortSignal): Promise<void>;
}
