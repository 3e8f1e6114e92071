import type { Clock } from '../base/clock.js';
import type { Logger } from '../base/logger.js';
import type { HubLimits } from './limits.js';
import type { HubMetrics } from './metrics.js';
import type { OutputLog } from './output-log.js';
import type { Store } from './store.js';

/** What every part of the hub works with. */
export interface HubContext {
  readonly store: Store;
  readonly output: OutputLog;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: HubMetrics;
  readonly limits: HubLimits;
}
