import { goQuote } from './go-quote.js';

/** A percent escape that is not one. */
export class EscapeError extends Error {
  override readonly name = 'EscapeError';
}

/**
 * Decodes percent escapes of a text whose characters are bytes, as node:http gives targets of requests. The
 * result is bytes again: see {@link textOfBytes}.
 *
 * @throws EscapeError with Go's text, such as `invalid URL escape "%zz"`.
 */
export function unescapeBytes(bytes: string): string {
  if (!bytes.includes('%')) return bytes;
  const bad = /%(?![0-9A-Fa-f]{2})/.exec(bytes);
  if (bad !== null) {
    throw new EscapeError(`invalid URL escape ${goQuote(textOfBytes(bytes.substr(bad.index, 3)))}`);
  }
  return bytes.replace(/%../g, (sequence) => String.fromCharCode(Number.parseInt(sequence.slice(1), 16)));
}

/** Decodes percent escapes into text. @throws EscapeError. */
export function decodePercent(bytes: string): string {
  return textOfBytes(unescapeBytes(bytes));
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * The text that bytes are in UTF-8. Bytes that are not UTF-8 come out as lone surrogates (U+DC80 and up), so that
 * they are found again where they would enter a message (see {@link hasBadUtf8}).
 */
export function textOfBytes(bytes: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: all of ASCII is its own text
  if (/^[\u0000-\u007f]*$/.test(bytes)) return bytes;
  try {
    return utf8.decode(Buffer.from(bytes, 'latin1'));
  } catch {
    return bytes.replace(/[\u0080-\u00ff]/g, (byte) => String.fromCharCode(0xdc00 + byte.charCodeAt(0)));
  }
}

/** The bytes of a text in UTF-8, one character each. */
export function bytesOfText(text: string): string {
  return Buffer.from(text, 'utf8').toString('latin1');
}

/** Whether a text holds bytes that were not UTF-8. */
export function hasBadUtf8(text: string): boolean {
  return /\p{Surrogate}/u.test(text);
}
