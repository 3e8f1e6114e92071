import type { LifePolicy, Vm, VmNetwork, VmStage } from '../model/vm.js';

/** What the hub asks of whoever runs machines. It knows no providers. */
export interface Machines {
  /**
   * Makes and starts a machine that dials the agent door with `joinSecret`. Resolves when it has booted.
   *
   * @throws HubError PROVIDER_NOT_FOUND, PROVIDER_UNAVAILABLE, RESOURCES_EXCEEDED, VM_FAILED.
   */
  create(request: MachineRequest, signal: AbortSignal): Promise<Vm>;
  /**
   * Waits for the agent of a machine that has booted.
   *
   * @throws HubError VM_FAILED with the last lines of its console when the machine ends before.
   */
  untilOnline(name: string, signal: AbortSignal): Promise<Vm>;
  /** Records a stage that the hub itself saw, such as those of a profile. */
  stage(name: string, stage: VmStage): Promise<void>;
  /** @throws VM_NOT_FOUND. */
  get(name: string): Vm;
  /** Destroys a machine with its snapshots; does nothing when there is none. */
  destroy(name: string, signal: AbortSignal): Promise<void>;
  /** The last lines of its console, for an error message. */
  consoleTail(name: string): Promise<string>;
}

export interface MachineRequest {
  readonly name: string;
  readonly provider?: string;
  readonly image?: string;
  readonly cpu?: number;
  readonly memory?: string;
  readonly disk?: string;
  readonly network?: VmNetwork;
  readonly life?: LifePolicy;
  readonly profile?: string;
  readonly allowHostSudo: boolean;
  readonly joinSecret: string;
}
