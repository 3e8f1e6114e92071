import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';

/** How long, and how much, is still read from a client that was answered while it sends. */
const LINGER_MS = 5_000;
const LINGER_BYTES = 64 * 1024 * 1024;
/** How long what a refused client still sends is read and dropped, so that its system keeps the answer. */
const HANG_UP_MS = 1_000;

const waiting = new WeakMap<IncomingMessage, ServerResponse>();

/** Remembers that a client waits to be told that it may send its body (`Expect: 100-continue`). */
export function holdBody(req: IncomingMessage, res: ServerResponse): void {
  waiting.set(req, res);
}

/** Lets a client that waits send its body, once the answers before this one are out: Node.js mixes them up else. */
export function wantBody(req: IncomingMessage): void {
  const res = waiting.get(req);
  waiting.delete(req);
  if (res === undefined) return;
  const tell = () => {
    if (!res.headersSent) res.writeContinue();
  };
  if (res.socket === null) res.once('socket', tell);
  else tell();
}

/** Whether the client has more to send than was read, and sends it. */
export function isSending(req: IncomingMessage): boolean {
  if (req.complete || req.destroyed || waiting.has(req)) return false;
  return req.headers['transfer-encoding'] !== undefined || Number(req.headers['content-length'] ?? 0) > 0;
}

/**
 * Ends an answer to a client that still sends. Closing at once would make its system throw the answer away, so what
 * comes is read and dropped, for a while.
 */
export function endLater(req: IncomingMessage, res: ServerResponse, body: string | Uint8Array): void {
  let size = 0;
  const end = () => {
    clearTimeout(timer);
    req.off('data', drop).off('end', end).off('close', end);
    res.end();
  };
  const drop = (chunk: Buffer) => {
    size += chunk.length;
    if (size > LINGER_BYTES) req.pause();
  };
  const timer = setTimeout(end, LINGER_MS);
  res.write(body);
  // Whoever read the body until now lets go of it first.
  setImmediate(() => {
    if (req.readableEnded || req.destroyed) end();
    else req.on('data', drop).once('end', end).once('close', end).resume();
  });
}

/**
 * Ends a connection with its last words, if there are any left to say. The other side may never do its part: it is
 * cut a moment later.
 */
export function hangUp(socket: Duplex, lastWords?: string): void {
  socket.on('error', () => socket.destroy());
  if (lastWords === undefined) socket.end();
  else socket.end(lastWords);
  const cut = setTimeout(() => socket.destroy(), HANG_UP_MS);
  socket.once('close', () => clearTimeout(cut));
  socket.resume();
}
