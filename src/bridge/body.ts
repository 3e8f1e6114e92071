import type { IncomingMessage } from 'node:http';
import { GatewayError } from './gateway-error.js';
import { wantBody } from './linger.js';

/** Whether a request announces a body. */
export function hasBody(req: IncomingMessage): boolean {
  return req.headers['transfer-encoding'] !== undefined || Number(req.headers['content-length'] ?? 0) > 0;
}

/**
 * The pieces of a request's body, at most `limit` bytes in all.
 *
 * @throws GatewayError: 413 above the limit; what still comes is read and thrown away.
 */
export async function* bodyChunks(req: IncomingMessage, limit: number): AsyncGenerator<Buffer> {
  if (Number(req.headers['content-length'] ?? 0) > limit) throw tooLarge(limit);
  wantBody(req);
  let size = 0;
  for await (const chunk of req.iterator({ destroyOnReturn: false })) {
    const bytes: Buffer = chunk;
    size += bytes.length;
    if (size > limit) throw tooLarge(limit);
    yield bytes;
  }
}

/** The whole body. @throws GatewayError: 413 above the limit. */
export async function readBody(req: IncomingMessage, limit: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  if (!hasBody(req)) return Buffer.alloc(0);
  for await (const chunk of bodyChunks(req, limit)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

function tooLarge(limit: number): GatewayError {
  return new GatewayError(8, `the body is larger than ${limit} bytes`, { http: 413 });
}
