import { type ServiceError, status } from '@grpc/grpc-js';
import { HubError } from '../model/hub-error.js';
import { hubErrorFromStatus } from '../wire/status.js';
import type { HubAddress } from './address.js';

/** What grpc-js says, under other codes than UNAVAILABLE, when a connection breaks in the middle of a call. */
const BROKEN_CONNECTION = /RST_STREAM|ECONNRESET|EPIPE|socket hang up|Connection dropped/;

/** Turns what a call failed with into a HubError. */
export function callError(err: unknown, address: HubAddress): HubError {
  if (err instanceof HubError) return err;
  if (!isServiceError(err)) return HubError.from(err);
  const answered = err.metadata.get('grpc-status-details-bin').length > 0;
  if (!answered && isConnectionLoss(err)) return unreachable(address, shortCause(err.details), err);
  return hubErrorFromStatus(err.code, err.details, err.metadata);
}

/** The error for a hub that does not answer. `metadata.hint` says what to do about it. */
export function unreachable(address: HubAddress, why: string, cause?: unknown): HubError {
  const xds = address.kind === 'xds';
  const message = xds
    ? `cannot find the hub through ${address.target}: ${why}`
    : `cannot reach the hub at ${address.target}: ${why}`;
  const hint = xds
    ? 'check that the xDS control plane named by GRPC_XDS_BOOTSTRAP or GRPC_XDS_BOOTSTRAP_CONFIG answers and knows this name'
    : 'start it with: vm-agent up (or npm start)';
  return new HubError('HUB_UNREACHABLE', message, { metadata: { address: address.target, hint }, cause });
}

/** Whether the same call may work once the hub is back or less busy. */
export function isRetryable(err: unknown): err is HubError {
  return err instanceof HubError && RETRYABLE.has(err.reason);
}

const RETRYABLE = new Set<string>(['HUB_UNREACHABLE', 'HUB_STOPPING', 'SLOW_CONSUMER', 'OVERLOADED']);

function isServiceError(err: unknown): err is ServiceError {
  return err instanceof Error && 'code' in err && 'details' in err && 'metadata' in err;
}

function isConnectionLoss(err: ServiceError): boolean {
  // CANCELLED that the hub did not explain is a hub that closed its connections; our own cancels never come here.
  if (err.code === status.UNAVAILABLE || err.code === status.CANCELLED) return true;
  return err.code !== status.DEADLINE_EXCEEDED && BROKEN_CONNECTION.test(err.details);
}

function shortCause(details: string): string {
  const last = /Last error: (?:Error: )?(.+?)(?:\. Resolution note:.*)?$/.exec(details)?.[1];
  return (last ?? details).trim() || 'the connection was lost';
}
