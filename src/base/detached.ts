import type { Logger } from './logger.js';

/** Runs work that nobody waits for; a failure is logged. The only way to leave a promise alone. */
export function runDetached(log: Logger, name: string, work: () => Promise<unknown>): void {
  void work().catch((err: unknown) => log.error('background work failed', { work: name, error: err }));
}
