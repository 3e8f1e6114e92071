import { type status as Codes, Metadata } from '@grpc/grpc-js';
import type { Any } from '../../gen/google/protobuf/any.js';
import { BadRequest, ErrorInfo, RetryInfo } from '../../gen/google/rpc/error_details.js';
import { Status } from '../../gen/google/rpc/status.js';
import { ERROR_TABLE, type ErrorReason } from '../model/error-table.js';
import { type FieldViolation, HubError } from '../model/hub-error.js';
import { durationFromMs, msFromDuration } from './time.js';

/** Domain of our reasons in google.rpc.ErrorInfo. */
export const ERROR_DOMAIN = 'vmagent';

const DETAILS_KEY = 'grpc-status-details-bin';
const TYPE_PREFIX = 'type.googleapis.com/google.rpc.';
/** Trailers of other gRPC implementations hold 8 KiB. */
const MAX_MESSAGE = 2048;
const MAX_DETAILS_BYTES = 6144;

/** How a call ends, for grpc-js. */
export interface WireStatus {
  readonly code: Codes;
  readonly details: string;
  readonly metadata: Metadata;
}

/** An error as a gRPC status whose trailers carry google.rpc.Status with ErrorInfo, BadRequest and RetryInfo. */
export function statusMetadata(err: HubError): WireStatus {
  const code: Codes = err.codes.grpc;
  const message = cleanText(err.message, MAX_MESSAGE);
  const metadata = new Metadata();
  const full = encodeStatus(code, message, detailsOf(err));
  const bytes = full.length <= MAX_DETAILS_BYTES ? full : encodeStatus(code, message, [errorInfo(err, {})]);
  metadata.set(DETAILS_KEY, bytes);
  return { code, details: message, metadata };
}

/** A HubError from a status that a peer answered; the opposite of {@link statusMetadata}. */
export function hubErrorFromStatus(code: number, message: string, metadata: Metadata | undefined): HubError {
  const details = readDetails(metadata);
  const info = find(details, 'ErrorInfo', ErrorInfo);
  const known = info?.domain === ERROR_DOMAIN && isReason(info.reason);
  const fields = find(details, 'BadRequest', BadRequest)?.fieldViolations ?? [];
  const retryAfterMs = msFromDuration(find(details, 'RetryInfo', RetryInfo)?.retryDelay);
  return new HubError(known && isReason(info.reason) ? info.reason : reasonOfCode(code), message, {
    ...(info === undefined ? {} : { metadata: info.metadata }),
    fields: fields.map(({ field, description }) => ({ field, description })),
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  });
}

function detailsOf(err: HubError): Any[] {
  const details = [errorInfo(err, err.metadata)];
  if (err.fields.length > 0) details.push(badRequest(err.fields));
  if (err.retryAfterMs !== undefined)
    details.push(pack('RetryInfo', RetryInfo, { retryDelay: durationFromMs(err.retryAfterMs) }));
  return details;
}

function errorInfo(err: HubError, metadata: Readonly<Record<string, string>>): Any {
  return pack('ErrorInfo', ErrorInfo, {
    reason: err.reason,
    domain: ERROR_DOMAIN,
    metadata: { ...metadata },
  });
}

function badRequest(fields: readonly FieldViolation[]): Any {
  const fieldViolations = fields.map(({ field, description }) => ({
    field,
    description: cleanText(description, MAX_MESSAGE),
    reason: 'INVALID_FIELD',
    localizedMessage: undefined,
  }));
  return pack('BadRequest', BadRequest, { fieldViolations });
}

interface Encoder<T> {
  encode(message: T): { finish(): Uint8Array };
}

interface Decoder<T> {
  decode(bytes: Uint8Array): T;
}

function pack<T>(name: string, codec: Encoder<T>, message: T): Any {
  return { typeUrl: TYPE_PREFIX + name, value: Buffer.from(codec.encode(message).finish()) };
}

function encodeStatus(code: number, message: string, details: Any[]): Buffer {
  return Buffer.from(Status.encode({ code, message, details }).finish());
}

/** Details are help, not the answer: what cannot be read is as if it were not there. */
function readDetails(metadata: Metadata | undefined): readonly Any[] {
  const [bytes] = metadata?.get(DETAILS_KEY) ?? [];
  if (bytes === undefined || typeof bytes === 'string') return [];
  try {
    return Status.decode(bytes).details;
  } catch {
    return [];
  }
}

function find<T>(details: readonly Any[], name: string, codec: Decoder<T>): T | undefined {
  const any = details.find((detail) => detail.typeUrl === TYPE_PREFIX + name);
  if (any === undefined) return undefined;
  try {
    return codec.decode(any.value);
  } catch {
    return undefined;
  }
}

function isReason(text: string): text is ErrorReason {
  return Object.hasOwn(ERROR_TABLE, text);
}

/** What a status without our details means, by google.rpc.Code. */
const REASON_OF_CODE: Readonly<Record<number, ErrorReason>> = {
  1: 'CANCELLED',
  3: 'INVALID_FIELD',
  4: 'DEADLINE_EXCEEDED',
  7: 'NOT_ALLOWED',
  8: 'OVERLOADED',
  10: 'FENCED',
  12: 'NOT_SUPPORTED',
  14: 'HUB_UNREACHABLE',
  16: 'NOT_AUTHENTICATED',
};

function reasonOfCode(code: number): ErrorReason {
  return REASON_OF_CODE[code] ?? 'INTERNAL';
}

/** grpc-js percent-encodes the text, which throws on half a surrogate pair. */
function cleanText(text: string, maxCharacters: number): string {
  const short = text.length <= maxCharacters ? text : `${text.slice(0, maxCharacters - 3)}...`;
  return short.replace(/\p{Surrogate}/gu, '\ufffd');
}
