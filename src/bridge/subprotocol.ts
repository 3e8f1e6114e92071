import type { IncomingMessage } from 'node:http';
import { GatewayError } from './gateway-error.js';

/** The subprotocol of a WebSocket on a streaming route. */
export const SUBPROTOCOL = 'vm-agent.v1';

/** A subprotocol that begins so holds a token, in base64url: pages cannot set headers. */
const TOKEN_PREFIX = 'bearer.';

/**
 * Reads the subprotocols that a page offers, and puts the token among them where other clients send theirs.
 *
 * @throws GatewayError for an offer that cannot be taken: browsers would close a connection that takes none.
 */
export function readSubprotocols(req: IncomingMessage): void {
  const header = req.headers['sec-websocket-protocol'];
  if (header === undefined) return;
  const offered = header.split(',').map((one) => one.trim());
  if (!offered.includes(SUBPROTOCOL))
    throw GatewayError.badRequest(
      `offer the subprotocol ${SUBPROTOCOL}, and the token as ${TOKEN_PREFIX}...`,
    );
  const tokens = offered.filter((one) => one.startsWith(TOKEN_PREFIX));
  if (tokens.length > 1) throw GatewayError.badRequest('offer one token only');
  const [token] = tokens;
  if (token === undefined || req.headers.authorization !== undefined) return;
  const authorization = `Bearer ${decodeToken(token.slice(TOKEN_PREFIX.length))}`;
  req.headers.authorization = authorization;
  req.rawHeaders.push('Authorization', authorization);
}

function decodeToken(text: string): string {
  const token = Buffer.from(text, 'base64url').toString('latin1');
  if (/^[\x21-\x7e]+$/.test(token)) return token;
  throw GatewayError.badRequest(`the token behind ${TOKEN_PREFIX} must be base64url of printable characters`);
}
