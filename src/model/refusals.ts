import type { ErrorReason } from './error-table.js';
import { HubError } from './hub-error.js';

const REFUSALS: readonly ErrorReason[] = [
  'INVALID_FIELD',
  'PROVIDER_NOT_FOUND',
  'PROVIDER_UNAVAILABLE',
  'RESOURCES_EXCEEDED',
  'IMAGE_NOT_FOUND',
  'IMAGE_BROKEN',
  'TOOL_MISSING',
  'DISK_FULL',
];

/** Whether a new machine was refused for what was asked or for what this host lacks: nothing of it needs to stay. */
export function isRefusal(err: unknown): boolean {
  return err instanceof HubError && REFUSALS.includes(err.reason);
}
