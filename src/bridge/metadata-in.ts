import type { IncomingMessage } from 'node:http';
import { Metadata } from '@grpc/grpc-js';
import { GatewayError } from './gateway-error.js';

/** Headers that are handed on as `grpcgateway-<name>`, grpc-gateway's permanent list. */
const PERMANENT = new Set(
  `accept accept-charset accept-language accept-ranges authorization cache-control content-type cookie date expect
  from if-match if-modified-since if-none-match if-schedule-tag-match if-unmodified-since max-forwards origin pragma
  referer user-agent via warning`.split(/\s+/),
);

/** Keys that belong to the transport. */
const RESERVED = /^(:|grpc-|(content-type|te|host|connection|user-agent|transfer-encoding|content-length)$)/;

/**
 * The metadata of a gRPC call from the headers of its HTTP request, by grpc-gateway's rules, and
 * `Idempotency-Key` as `idempotency-key`.
 *
 * @throws GatewayError for `Grpc-Metadata-` headers that cannot be metadata.
 */
export function metadataFromHeaders(req: IncomingMessage): Metadata {
  const metadata = new Metadata();
  const { rawHeaders } = req;
  for (let i = 0; i + 1 < rawHeaders.length; i += 2)
    addHeader(metadata, (rawHeaders[i] ?? '').toLowerCase(), rawHeaders[i + 1] ?? '');
  const forwardedHost = req.headers['x-forwarded-host'] ?? req.headers.host;
  if (typeof forwardedHost === 'string' && isPrintable(forwardedHost))
    metadata.add('x-forwarded-host', forwardedHost);
  const peer = (req.socket.remoteAddress ?? '').replace(/^::ffff:/, '');
  const forwardedFor = [...allValues(req, 'x-forwarded-for'), ...(peer === '' ? [] : [peer])].join(', ');
  if (forwardedFor !== '' && isPrintable(forwardedFor)) metadata.add('x-forwarded-for', forwardedFor);
  return metadata;
}

/**
 * Milliseconds that `Grpc-Timeout` allows; undefined for no limit.
 *
 * @throws GatewayError (INVALID_ARGUMENT) when it is not a number and one of H, M, S, m, u, n.
 */
export function grpcTimeoutMs(req: IncomingMessage): number | undefined {
  const text = allValues(req, 'grpc-timeout')[0];
  if (text === undefined || text === '') return undefined;
  const match = /^([+-]?\d+)([HMSmun])$/.exec(text);
  if (match === null) throw GatewayError.badRequest(`invalid grpc-timeout: ${text}`);
  // Go computes in 64-bit nanoseconds that wrap around: a huge time-out is over at once.
  const nanos = BigInt.asIntN(64, BigInt(match[1] ?? '0') * (UNIT_NANOS[match[2] ?? ''] ?? 0n));
  return nanos === 0n ? undefined : Number(nanos) / 1e6;
}

const UNIT_NANOS: Readonly<Record<string, bigint>> = {
  H: 3_600_000_000_000n,
  M: 60_000_000_000n,
  S: 1_000_000_000n,
  m: 1_000_000n,
  u: 1_000n,
  n: 1n,
};

/** All values of a header in the order received. */
export function allValues(req: IncomingMessage, name: string): string[] {
  if (req.headers[name] === undefined) return [];
  return req.rawHeaders.filter((_, i, raw) => i % 2 === 1 && raw[i - 1]?.toLowerCase() === name);
}

function addHeader(metadata: Metadata, name: string, value: string): void {
  if (name.startsWith('grpc-metadata-')) {
    addExplicit(metadata, name.slice('grpc-metadata-'.length), value);
    return;
  }
  if (!isPrintable(value)) return;
  if (name === 'authorization' || name === 'idempotency-key') metadata.add(name, value);
  if (PERMANENT.has(name)) metadata.add(`grpcgateway-${name}`, value);
}

function addExplicit(metadata: Metadata, key: string, value: string): void {
  if (key === '') throw new GatewayError(13, 'there is an empty key in the header');
  if (RESERVED.test(key) || !/^[0-9a-z._-]+$/.test(key)) return;
  if (key.endsWith('-bin')) metadata.add(key, decodeBinary(key, value));
  else if (isPrintable(value)) metadata.add(key, value);
}

function decodeBinary(key: string, value: string): Buffer {
  const bad = /[^A-Za-z0-9+/=]/.exec(value);
  if (bad === null) return Buffer.from(value, 'base64');
  const header = `Grpc-Metadata-${canonicalName(key)}`;
  throw GatewayError.badRequest(
    `invalid binary header ${header}: illegal base64 data at input byte ${bad.index}`,
  );
}

/** A header name as Go writes it: `x-hdr` becomes `X-Hdr`. */
export function canonicalName(name: string): string {
  return name.replace(/(^|-)([a-z])/g, (_, dash: string, letter: string) => dash + letter.toUpperCase());
}

function isPrintable(value: string): boolean {
  return /^[\x20-\x7e]*$/.test(value);
}
