import type { IncomingMessage } from 'node:http';
import { Metadata } from '@grpc/grpc-js';
import { GatewayError } from './gateway-error.js';
import { goBase64 } from './go-base64.js';
import { parseTarget } from './request-target.js';
import { ParseError } from './scalars.js';

/** Headers that are handed on as `grpcgateway-<name>`, grpc-gateway's permanent list. */
const PERMANENT = new Set(
  `accept accept-charset accept-language accept-ranges authorization cache-control content-type cookie date expect
  from if-match if-modified-since if-none-match if-schedule-tag-match if-unmodified-since max-forwards origin pragma
  referer user-agent via warning`.split(/\s+/),
);

/** Keys that belong to the transport. */
const RESERVED = new Set(
  `accept-encoding connection content-length content-type grpc-accept-encoding grpc-encoding grpc-message
  grpc-message-type grpc-status grpc-status-details-bin grpc-timeout host http2-settings keep-alive proxy-connection te
  transfer-encoding upgrade user-agent`.split(/\s+/),
);

/** Keys of which Node.js sends one value only: for a second one it fails, and grpc-js drops its connection then. */
const SINGLE = new Set(
  `access-control-allow-credentials access-control-max-age access-control-request-method age authorization
  content-encoding content-language content-location content-md5 content-range date dnt etag expires from if-match
  if-modified-since if-none-match if-range if-unmodified-since last-modified location max-forwards
  proxy-authorization range referer retry-after tk upgrade-insecure-requests x-content-type-options`.split(
    /\s+/,
  ),
);

/**
 * The metadata of a gRPC call from the headers of its HTTP request, by grpc-gateway's rules.
 *
 * @param forwarded names of headers, in lower case, that are handed on under their own names.
 * @throws GatewayError for `Grpc-Metadata-` headers that cannot be metadata.
 */
export function metadataFromHeaders(req: IncomingMessage, forwarded: readonly string[] = []): Metadata {
  const metadata = new Metadata();
  const { rawHeaders } = req;
  // The header proper counts more than one that is meant for metadata.
  const [authorization] = allValues(req, 'authorization');
  if (authorization !== undefined && isPrintable(authorization)) metadata.add('authorization', authorization);
  let hasEmptyKey = false;
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const [name, value] = [(rawHeaders[i] ?? '').toLowerCase(), rawHeaders[i + 1] ?? ''];
    hasEmptyKey ||= name === PREFIX && isPrintable(value);
    addHeader(metadata, name, value, forwarded);
  }
  if (hasEmptyKey) throw new GatewayError(13, 'there is an empty key in the header');
  addForwarded(metadata, 'x-forwarded-host', forwardedHost(req));
  const peer = (req.socket.remoteAddress ?? '').replace(/^::ffff:/, '');
  const hops = [...allValues(req, 'x-forwarded-for'), ...(peer === '' ? [] : [peer])];
  addForwarded(metadata, 'x-forwarded-for', hops.join(', '));
  return metadata;
}

/** The host of a target that is a whole URL counts more than the header. */
function forwardedHost(req: IncomingMessage): string {
  const { url = '/' } = req;
  const host = allValues(req, 'x-forwarded-host')[0] ?? '';
  return host || (url.startsWith('/') ? '' : parseTarget(url).host) || (req.headers.host ?? '');
}

function addForwarded(metadata: Metadata, key: string, value: string): void {
  if (value !== '' && isPrintable(value)) metadata.add(key, value);
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
  const count = BigInt(match?.[1] ?? '0');
  if (match === null || BigInt.asIntN(64, count) !== count) {
    throw GatewayError.badRequest(`invalid grpc-timeout: ${text}`);
  }
  // Go computes in 64-bit nanoseconds that wrap around: a huge time-out is over at once.
  const nanos = BigInt.asIntN(64, count * (UNIT_NANOS[match[2] ?? ''] ?? 0n));
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
function allValues(req: IncomingMessage, name: string): string[] {
  if (req.headers[name] === undefined) return [];
  return req.rawHeaders.filter((_, i, raw) => i % 2 === 1 && raw[i - 1]?.toLowerCase() === name);
}

const PREFIX = 'grpc-metadata-';

function addHeader(metadata: Metadata, name: string, value: string, forwarded: readonly string[]): void {
  if (name.startsWith(PREFIX)) {
    addExplicit(metadata, name.slice(PREFIX.length), value);
    return;
  }
  if (!isPrintable(value)) return;
  if (forwarded.includes(name)) addText(metadata, name, value);
  if (PERMANENT.has(name)) metadata.add(`grpcgateway-${name}`, value);
}

function addExplicit(metadata: Metadata, key: string, value: string): void {
  if (key === '' || !/^[0-9a-z._-]+$/.test(key)) return;
  const isBinary = key === 'bin' || key.endsWith('-bin');
  const bytes = isBinary ? decodeBinary(key, value) : undefined;
  if (RESERVED.has(key)) return;
  if (key === 'bin') addDecoded(metadata, key, bytes?.toString('latin1') ?? '');
  else if (bytes !== undefined) metadata.add(key, bytes);
  else if (isPrintable(value)) addText(metadata, key, value);
}

function addText(metadata: Metadata, key: string, value: string): void {
  if (!SINGLE.has(key) || metadata.get(key).length === 0) metadata.add(key, value);
}

/** The header `Grpc-Metadata-Bin` ends like a binary one, but its key is that of a text. */
function addDecoded(metadata: Metadata, key: string, text: string): void {
  if (!isPrintable(text)) {
    throw new GatewayError(13, `header key "${key}" contains value with non-printable ASCII characters`);
  }
  metadata.add(key, text);
}

function decodeBinary(key: string, value: string): Buffer {
  try {
    return goBase64(value, { url: false, padded: value.length % 4 === 0 });
  } catch (err) {
    if (!(err instanceof ParseError)) throw err;
    throw GatewayError.badRequest(
      `invalid binary header Grpc-Metadata-${canonicalName(key)}: ${err.message}`,
    );
  }
}

/** A header name as Go writes it: `x-hdr` becomes `X-Hdr`. */
export function canonicalName(name: string): string {
  return name.replace(/(^|-)([a-z])/g, (_, dash: string, letter: string) => dash + letter.toUpperCase());
}

function isPrintable(value: string): boolean {
  return /^[\x20-\x7e]*$/.test(value);
}
