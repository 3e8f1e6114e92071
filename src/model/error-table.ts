/** How one reason shows at every door. */
export interface ErrorRow {
  /** gRPC status code. */
  readonly grpc: number;
  /** HTTP status, by grpc-gateway's table. */
  readonly http: number;
  /** Exit code of the CLI (docs: `vm-agent help exit-codes`). */
  readonly exit: number;
  /** Whether the same call may work later, unchanged. */
  readonly retryable: boolean;
}

const row = (grpc: number, http: number, exit: number, retryable = false): ErrorRow => ({
  grpc,
  http,
  exit,
  retryable,
});

/** Every reason that the system gives for refusing a call: reason -> gRPC code, HTTP status, exit code. */
export const ERROR_TABLE = {
  INVALID_FIELD: row(3, 400, 2),
  PROTOCOL_ERROR: row(3, 400, 1),
  NOT_AUTHENTICATED: row(16, 401, 4),
  NOT_ALLOWED: row(7, 403, 4),
  HOST_NOT_ALLOWED: row(7, 421, 4),
  DUPLICATE_HOST: row(3, 400, 2),
  ORIGIN_NOT_ALLOWED: row(7, 403, 4),
  PROXY_NEEDS_TOKEN: row(16, 401, 4),
  TOKEN_IN_URL: row(3, 400, 2),
  UNSUPPORTED_MEDIA_TYPE: row(3, 415, 2),
  AGENT_NOT_FOUND: row(5, 404, 3),
  TASK_NOT_FOUND: row(5, 404, 3),
  VM_NOT_FOUND: row(5, 404, 3),
  SNAPSHOT_NOT_FOUND: row(5, 404, 3),
  PROVIDER_NOT_FOUND: row(5, 404, 3),
  SHELL_NOT_FOUND: row(5, 404, 3),
  SERVICE_NOT_FOUND: row(5, 404, 3),
  IMAGE_NOT_FOUND: row(5, 404, 3),
  AGENT_EXISTS: row(6, 409, 1),
  SNAPSHOT_EXISTS: row(6, 409, 1),
  TASK_CONFLICT: row(6, 409, 1),
  AGENT_BUSY: row(9, 400, 1),
  AGENT_OFFLINE: row(14, 503, 1, true),
  SHELL_FAILED: row(9, 400, 1),
  PROVIDER_UNAVAILABLE: row(9, 400, 1),
  RESOURCES_EXCEEDED: row(9, 400, 1),
  NOT_SUPPORTED: row(9, 400, 1),
  VM_FAILED: row(9, 400, 1),
  IMAGE_FAILED: row(9, 400, 1),
  IMAGE_IN_USE: row(9, 400, 1),
  IMAGE_BROKEN: row(15, 500, 65),
  TOOL_MISSING: row(9, 400, 1),
  PROFILE_FAILED: row(9, 400, 1),
  DUPLICATE_IDENTITY: row(9, 400, 1),
  UPGRADE_REQUIRED: row(9, 400, 1),
  ILLEGAL_STATE: row(9, 400, 1),
  FENCED: row(10, 409, 1),
  LOG_EXPIRED: row(11, 400, 1),
  CURSOR_EXPIRED: row(11, 400, 1),
  QUEUE_FULL: row(8, 429, 1, true),
  LANE_LIMIT: row(8, 429, 1, true),
  OVERLOADED: row(8, 429, 1, true),
  SLOW_CONSUMER: row(8, 429, 1, true),
  DISK_FULL: row(8, 429, 1, true),
  STORE_FAILED: row(14, 503, 74, true),
  CANCELLED: row(1, 499, 1),
  DEADLINE_EXCEEDED: row(4, 504, 124, true),
  HUB_STOPPING: row(14, 503, 69, true),
  HUB_UNREACHABLE: row(14, 503, 69, true),
  STORE_CORRUPT: row(15, 500, 65),
  SCHEMA_TOO_NEW: row(9, 400, 65),
  HOME_LOCKED: row(9, 400, 1),
  ADDRESS_IN_USE: row(9, 400, 1),
  INTERNAL: row(13, 500, 1),
} as const satisfies Record<string, ErrorRow>;

/** A reason for refusing a call, UPPER_SNAKE. */
export type ErrorReason = keyof typeof ERROR_TABLE;
