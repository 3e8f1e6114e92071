import { ERROR_TABLE, type ErrorReason, type ErrorRow } from './error-table.js';

/** One bad field of a request. */
export interface FieldViolation {
  /** Name of the field as in JSON, such as `timeout`. */
  readonly field: string;
  /** What is allowed. */
  readonly description: string;
}

/** Options of a {@link HubError}. */
export interface HubErrorOptions {
  /** Every changing part of the message, so that nobody has to parse it. */
  readonly metadata?: Readonly<Record<string, string>>;
  readonly fields?: readonly FieldViolation[];
  /** When to try again, in milliseconds. */
  readonly retryAfterMs?: number;
  readonly cause?: unknown;
}

/** The one error that the outside may see. Shape of AIP-193: reason, message for a person, metadata. */
export class HubError extends Error {
  override readonly name = 'HubError';
  readonly metadata: Readonly<Record<string, string>>;
  readonly fields: readonly FieldViolation[];
  readonly retryAfterMs: number | undefined;

  constructor(
    readonly reason: ErrorReason,
    message: string,
    options: HubErrorOptions = {},
  ) {
    super(message, { cause: options.cause });
    this.metadata = options.metadata ?? {};
    this.fields = options.fields ?? [];
    this.retryAfterMs = options.retryAfterMs;
  }

  /** Codes of this reason at every door. */
  get codes(): ErrorRow {
    return ERROR_TABLE[this.reason];
  }

  /** Bad input: the message names every field and what is allowed. */
  static invalid(...fields: readonly FieldViolation[]): HubError {
    const message = fields.map((f) => `${f.field}: ${f.description}`).join('; ');
    return new HubError('INVALID_FIELD', message, { fields });
  }

  /**
   * Turns anything thrown into a HubError, at boundaries only. What is not one already becomes INTERNAL with a
   * fixed text; the original stays in `cause` for the log.
   */
  static from(err: unknown): HubError {
    if (err instanceof HubError) return err;
    return new HubError('INTERNAL', 'internal error; the hub log has the details', { cause: err });
  }
}
