import type { Metadata, ServiceError } from '@grpc/grpc-js';
import { BadRequest, ErrorInfo } from '../../gen/google/rpc/error_details.js';
import { Status } from '../../gen/google/rpc/status.js';
import { type FieldViolation, HubError } from '../model/hub-error.js';

/** A google.protobuf.Any as it travels in a status. */
export interface PackedDetail {
  readonly typeUrl: string;
  readonly value: Uint8Array;
}

/** Options of a {@link GatewayError}. */
export interface GatewayErrorOptions {
  readonly details?: readonly PackedDetail[];
  /** HTTP status in place of the table's. */
  readonly http?: number;
  /** Further headers of the answer. */
  readonly headers?: readonly (readonly [name: string, value: string])[];
  /** Headers that the backend sent before it failed. */
  readonly metadata?: Metadata;
  /** Trailers that the backend failed with. */
  readonly trailers?: Metadata;
  readonly cause?: unknown;
}

/** What a request is answered with when it fails: a google.rpc.Status with its HTTP status. */
export class GatewayError extends Error {
  override readonly name = 'GatewayError';
  readonly details: readonly PackedDetail[];
  readonly http: number;
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly metadata: Metadata | undefined;
  readonly trailers: Metadata | undefined;

  constructor(
    readonly code: number,
    message: string,
    options: GatewayErrorOptions = {},
  ) {
    super(message, { cause: options.cause });
    this.details = options.details ?? [];
    this.http = options.http ?? httpStatus(code);
    this.headers = options.headers ?? [];
    this.metadata = options.metadata;
    this.trailers = options.trailers;
  }

  /** Anything thrown, as what the caller may see. Unknown errors become INTERNAL with a fixed text. */
  static from(err: unknown): GatewayError {
    if (err instanceof GatewayError) return err;
    const known = HubError.from(err);
    return new GatewayError(known.codes.grpc, known.message, {
      details: hubDetails(known),
      http: known.codes.http,
      cause: err,
    });
  }

  /** A failed gRPC call. The status in `grpc-status-details-bin` wins over the plain one. */
  static fromCall(err: ServiceError, metadata: Metadata | undefined): GatewayError {
    const trailers = err.metadata;
    // grpc-js makes NaN of what is no number; words as of grpc-go.
    if ((err.code | 0) !== err.code)
      return new GatewayError(13, 'transport: malformed grpc-status', { metadata, trailers });
    const status = packedStatus(trailers);
    if (status !== undefined && status.code === err.code) {
      return new GatewayError(status.code, status.message, { details: status.details, metadata, trailers });
    }
    return new GatewayError(err.code, callMessage(err), { metadata, trailers });
  }

  /** A request that is not well formed. */
  static badRequest(message: string, fields: readonly FieldViolation[] = []): GatewayError {
    return new GatewayError(3, message, { details: fields.length > 0 ? [badRequestDetail(fields)] : [] });
  }
}

/** HTTP status of a gRPC code, by grpc-gateway's table. */
function httpStatus(code: number): number {
  return HTTP_STATUS[code] ?? 500;
}

const HTTP_STATUS: readonly number[] = [
  200, 499, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 401,
];

const TYPE_PREFIX = 'type.googleapis.com/google.rpc.';

function badRequestDetail(fields: readonly FieldViolation[]): PackedDetail {
  const fieldViolations = fields.map((field) => ({ ...field, reason: '', localizedMessage: undefined }));
  return { typeUrl: `${TYPE_PREFIX}BadRequest`, value: BadRequest.encode({ fieldViolations }).finish() };
}

function hubDetails(err: HubError): PackedDetail[] {
  const info = ErrorInfo.encode({ reason: err.reason, domain: 'vmagent', metadata: { ...err.metadata } });
  const details = [{ typeUrl: `${TYPE_PREFIX}ErrorInfo`, value: info.finish() }];
  return err.fields.length > 0 ? [...details, badRequestDetail(err.fields)] : details;
}

function packedStatus(trailers: Metadata): Status | undefined {
  const packed = trailers.get('grpc-status-details-bin')[0];
  if (!(packed instanceof Buffer)) return undefined;
  try {
    return Status.decode(packed);
  } catch {
    return undefined;
  }
}

function callMessage(err: ServiceError): string {
  // grpc-js puts addresses and timings into the text of a deadline that it watched itself.
  const local = err.code === 4 && err.details.startsWith('Deadline exceeded after');
  return local ? 'context deadline exceeded' : err.details;
}
