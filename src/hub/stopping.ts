import { HubError } from '../model/hub-error.js';

/** Whether work is to end because the hub stops, and not because nobody wants it any more. */
export function isStopping(signal: AbortSignal): boolean {
  return signal.aborted && signal.reason instanceof HubError && signal.reason.reason === 'HUB_STOPPING';
}
