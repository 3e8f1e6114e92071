import type { Clock } from '../base/clock.js';
import type { Logger } from '../base/logger.js';
import type { MachineBook } from './machine-book.js';
import type { MachineEvents } from './machine-events.js';
import type { ProviderRegistry } from './provider-registry.js';

/** Operations on machines. */
export type OperationName = 'create' | 'start' | 'stop' | 'resize' | 'snapshot' | 'restore' | 'destroy';

/** How long the operations and their parts may take, in milliseconds. */
export interface VmDeadlines extends Readonly<Record<OperationName, number>> {
  /** Asking the agent to freeze its tasks. */
  readonly freeze: number;
  /** Asking a provider for the state of a machine. */
  readonly inspect: number;
  /** Asking a provider what a machine uses. */
  readonly usage: number;
  /** Ending what an operation that failed left running. */
  readonly cleanup: number;
}

const MINUTE = 60_000;

/** Wide enough for machines that boot by emulation and for large disks. */
export const DEFAULT_DEADLINES: VmDeadlines = {
  create: 20 * MINUTE,
  start: 10 * MINUTE,
  stop: 2 * MINUTE,
  resize: 5 * MINUTE,
  snapshot: 30 * MINUTE,
  restore: 40 * MINUTE,
  destroy: 10 * MINUTE,
  freeze: 10_000,
  inspect: 15_000,
  usage: 2_000,
  cleanup: MINUTE,
};

/** What the operations share. */
export interface MachineContext {
  readonly book: MachineBook;
  readonly registry: ProviderRegistry;
  readonly events: MachineEvents;
  /** Address of the agent door as seen from the host, once it is bound. */
  readonly door: () => string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly deadlines: VmDeadlines;
}
