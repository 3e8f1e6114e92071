import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Registry } from '@bufbuild/protobuf';
import { hasBody } from './body.js';
import { exposedHeaders } from './cors.js';
import { GatewayError } from './gateway-error.js';
import { detailToJson } from './json-output.js';
import { type JsonEscaping, quote } from './json-text.js';
import { endLater, isSending } from './linger.js';
import { type HeaderList, headerText, metadataHeaders, trailerHeaders } from './metadata-out.js';
import { hasBadUtf8 } from './percent.js';
import { indentJson, wantsPretty } from './pretty.js';

/** How answers look. */
export interface ResponseStyle {
  readonly registry: Registry;
  /** Adds `"error": message` behind `details`, for clients of the first system. */
  readonly legacyErrorField: boolean;
  /** Headers of every answer. */
  readonly headers: HeaderList;
  /** Hands on metadata of gRPC itself too, such as its content type. */
  readonly transportHeaders: boolean;
}

/** An answer that is complete. */
export interface Answer {
  readonly status: number;
  readonly contentType: string;
  readonly headers?: HeaderList;
  readonly body: string | Uint8Array;
  /** Sent as trailers when the client asked for them. */
  readonly trailers?: HeaderList;
}

/** Writes a complete answer. Does nothing when the connection is gone. */
export function respond(
  req: IncomingMessage,
  res: ServerResponse,
  style: ResponseStyle,
  answer: Answer,
): void {
  if (res.destroyed || res.headersSent) return;
  const body = bodyOf(req, answer);
  const trailers = wantsTrailers(req) ? (answer.trailers ?? []) : [];
  const headers: (readonly [string, string])[] = [...style.headers, ...(answer.headers ?? [])];
  headers.push(['Content-Type', headerText(answer.contentType)]);
  if (trailers.length > 0) headers.push(['Trailer', [...new Set(trailers.map(([name]) => name))].join(', ')]);
  else headers.push(['Content-Length', String(Buffer.byteLength(body))]);
  const sending = isSending(req);
  if (!req.complete && hasBody(req)) headers.push(['Connection', 'close']);
  writeHead(res, answer.status, headers);
  if (trailers.length > 0) res.addTrailers(trailers.map(([name, value]): [string, string] => [name, value]));
  const bytes = typeof body === 'string' ? firstPart(res, body) : body;
  if (sending && trailers.length === 0) endLater(req, res, bytes);
  else res.end(bytes);
}

function wantsTrailers(req: IncomingMessage): boolean {
  return req.headers.te !== undefined && /trailers/i.test(String(req.headers.te));
}

/** A text stays one: Node sends it with the headers in one piece. */
function bodyOf(req: IncomingMessage, { contentType, body }: Answer): string | Uint8Array {
  if (typeof body !== 'string') return body;
  return contentType === 'application/json' && wantsPretty(req) ? indentJson(body) : body;
}

/** Answers a failed request with its google.rpc.Status. */
export function respondError(
  req: IncomingMessage,
  res: ServerResponse,
  style: ResponseStyle,
  err: unknown,
): void {
  const failure = GatewayError.from(err);
  const challenge: HeaderList =
    failure.http === 401 ? [['Www-Authenticate', headerText(failure.message)]] : [];
  respond(req, res, style, {
    contentType: 'application/json',
    headers: [...metadataHeaders(failure.metadata, style.transportHeaders), ...challenge, ...failure.headers],
    trailers: trailerHeaders(failure.trailers),
    ...renderError(failure, style, 'proto'),
  });
}

/** The status and the JSON of a failure. */
export function renderError(
  failure: GatewayError,
  style: ResponseStyle,
  escaping: JsonEscaping,
): { status: number; body: string } {
  try {
    // Go cannot write such a message either.
    if (hasBadUtf8(failure.message)) throw new Error('the message is not UTF-8');
    const emitter = { registry: style.registry, escaping };
    const details = failure.details.map((detail) => detailToJson(emitter, detail)).join(',');
    const message = quote(failure.message, escaping);
    const legacy = style.legacyErrorField ? `,"error":${message}` : '';
    const body = `{"code":${failure.code},"message":${message},"details":[${details}]${legacy}}`;
    return { status: failure.http, body };
  } catch {
    return { status: 500, body: '{"code": 13, "message": "failed to marshal error message"}' };
  }
}

/** Answers whose heads hold bytes outside ASCII. */
const byteHeads = new WeakSet<ServerResponse>();

/** What to write as the first part of a body: Node.js puts head and text together, and both into UTF-8 then. */
export function firstPart(res: ServerResponse, text: string): string | Buffer {
  return byteHeads.has(res) ? Buffer.from(text) : text;
}

/** Writes status and headers. A name may come several times. */
export function writeHead(res: ServerResponse, status: number, headers: HeaderList): void {
  const exposed = exposedHeaders(res, headers);
  const all: HeaderList =
    exposed === undefined ? headers : [...headers, ['Access-Control-Expose-Headers', exposed]];
  if (status === 499) res.statusMessage = 'Client Closed Request';
  // biome-ignore lint/suspicious/noControlCharactersInRegex: all of ASCII
  if (all.some(([, value]) => /[^\u0000-\u007f]/.test(value))) byteHeads.add(res);
  if (res.getHeaderNames().length === 0) res.writeHead(status, all.flat());
  else addToHead(res, status, all);
}

/** Where there are headers already, Node.js would keep only the last value of each name. */
function addToHead(res: ServerResponse, status: number, headers: HeaderList): void {
  const seen = new Set<string>();
  for (const [name, value] of headers) {
    if (seen.has(name.toLowerCase())) res.appendHeader(name, value);
    else res.setHeader(name, value);
    seen.add(name.toLowerCase());
  }
  res.writeHead(status);
}
