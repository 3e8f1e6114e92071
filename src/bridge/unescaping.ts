import { GatewayError } from './gateway-error.js';
import { goQuote } from './go-quote.js';
import { textOfBytes } from './percent.js';

/**
 * What of a path is unescaped where. `legacy`, the default: all of it, before routes are looked for. In the others
 * routes are looked for in the escaped path, and values of one segment are unescaped fully; the mode says what of
 * values of several segments is, and `all-characters` takes `%2F` for a slash between segments too.
 */
export type UnescapingMode = 'legacy' | 'all-except-reserved' | 'all-except-slash' | 'all-characters';

/** All modes, the default first. */
export const UNESCAPING_MODES: readonly UnescapingMode[] = [
  'legacy',
  'all-except-reserved',
  'all-except-slash',
  'all-characters',
];

/** The segments of a path. */
export function splitPath(path: string, mode: UnescapingMode): string[] {
  return path.slice(1).split(mode === 'all-characters' ? /\/|%2F/ : '/');
}

/**
 * The value of a wildcard. As in grpc-gateway, a path that needed no escapes in the request is unescaped a second
 * time, so that `%25b` fails.
 *
 * @throws GatewayError (HTTP status 400, code 2) for an escape that is not one.
 */
export function unescapeValue(bytes: string, mode: UnescapingMode, isMany: boolean): string {
  if (mode === 'legacy' || !bytes.includes('%')) return bytes;
  const bad = /%(?![0-9A-Fa-f]{2})/.exec(bytes);
  if (bad !== null) {
    const quoted = goQuote(textOfBytes(bytes.substr(bad.index, 3)));
    throw new GatewayError(2, `malformed path escape ${quoted}`, { http: 400 });
  }
  const kept = isMany ? KEPT[mode] : '';
  return bytes.replace(/%../g, (sequence) => {
    const char = String.fromCharCode(Number.parseInt(sequence.slice(1), 16));
    return kept.includes(char) ? sequence : char;
  });
}

const KEPT = {
  'all-except-reserved': "!#$&'()*+,/:;=?@[]",
  'all-except-slash': '/',
  'all-characters': '',
} as const;
