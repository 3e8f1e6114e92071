import { HubError } from '../model/hub-error.js';

const TOKEN_RULE = 'the nextPageToken of an answer before, unchanged';

/** A position as a page token: opaque to callers. */
export function encodePageToken(position: string): string {
  return Buffer.from(position).toString('base64url');
}

/**
 * The position in a page token; undefined for an empty token.
 *
 * @throws HubError INVALID_FIELD naming `pageToken`.
 */
export function decodePageToken(token: string): string | undefined {
  if (token === '') return undefined;
  const position = Buffer.from(token, 'base64url').toString();
  if (token.length > 256 || encodePageToken(position) !== token) throw badToken();
  return position;
}

/** As {@link decodePageToken}, for positions that are numbers. */
export function decodeNumberToken(token: string): number | undefined {
  const position = decodePageToken(token);
  if (position === undefined) return undefined;
  if (!/^\d{1,15}$/.test(position)) throw badToken();
  return Number(position);
}

/**
 * A cursor of the output log or the events: a decimal number as text. Undefined for an empty one.
 *
 * @throws HubError INVALID_FIELD naming `cursor`.
 */
export function decodeCursor(cursor: string): number | undefined {
  if (cursor === '') return undefined;
  if (/^\d{1,15}$/.test(cursor)) return Number(cursor);
  throw HubError.invalid({ field: 'cursor', description: 'the cursor of a record before, a decimal number' });
}

/**
 * How many entries a page may have: 0 means `usual`.
 *
 * @throws HubError INVALID_FIELD naming `pageSize`.
 */
export function pageSize(asked: number, usual: number, max: number): number {
  if (Number.isInteger(asked) && asked >= 0 && asked <= max) return asked === 0 ? usual : asked;
  throw HubError.invalid({ field: 'pageSize', description: `0 (for ${usual}) to ${max}` });
}

function badToken(): HubError {
  return HubError.invalid({ field: 'pageToken', description: TOKEN_RULE });
}
