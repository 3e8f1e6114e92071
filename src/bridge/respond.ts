import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Registry } from '@bufbuild/protobuf';
import { GatewayError } from './gateway-error.js';
import { detailToJson } from './json-output.js';
import { type JsonEscaping, quote } from './json-text.js';
import { type HeaderList, headerText, metadataHeaders, trailerHeaders } from './metadata-out.js';

/** How answers look. */
export interface ResponseStyle {
  readonly registry: Registry;
  /** Adds `"error": message` behind `details`, for clients of the first system. */
  readonly legacyErrorField: boolean;
  /** Headers of every answer. */
  readonly headers: HeaderList;
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
  const body = typeof answer.body === 'string' ? Buffer.from(answer.body) : answer.body;
  const trailers = /trailers/i.test(String(req.headers.te ?? '')) ? (answer.trailers ?? []) : [];
  const headers: [string, string][] = [];
  for (const [name, value] of [...style.headers, ...(answer.headers ?? [])]) headers.push([name, value]);
  headers.push(['Content-Type', answer.contentType]);
  if (trailers.length > 0) headers.push(['Trailer', [...new Set(trailers.map(([name]) => name))].join(', ')]);
  else headers.push(['Content-Length', String(body.length)]);
  if (!req.complete) headers.push(['Connection', 'close']);
  writeHead(res, answer.status, headers);
  if (trailers.length > 0) res.addTrailers(trailers.map(([name, value]): [string, string] => [name, value]));
  res.end(body);
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
    headers: [...metadataHeaders(failure.metadata), ...challenge],
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

/** Writes status and headers. A name may come several times. */
export function writeHead(res: ServerResponse, status: number, headers: HeaderList): void {
  const reason = status === 499 ? 'Client Closed Request' : undefined;
  const flat = headers.flat();
  if (reason === undefined) res.writeHead(status, flat);
  else res.writeHead(status, reason, flat);
}
