/** A percent escape that is not one. */
export class EscapeError extends Error {
  override readonly name = 'EscapeError';
}

/**
 * Decodes percent escapes. Bytes that are not UTF-8 come out as lone surrogates (U+DC80 and up), so that they
 * are found again where they would enter a message (see {@link hasBadUtf8}).
 *
 * @throws EscapeError with Go's text, such as `invalid URL escape "%zz"`.
 */
export function decodePercent(text: string): string {
  if (!text.includes('%')) return text;
  const bad = /%(?![0-9A-Fa-f]{2})/.exec(text);
  if (bad !== null) throw new EscapeError(`invalid URL escape ${JSON.stringify(text.substr(bad.index, 3))}`);
  return text.replace(/(?:%[0-9A-Fa-f]{2})+/g, (run) =>
    decodeBytes(Buffer.from(run.replaceAll('%', ''), 'hex')),
  );
}

/** Whether a text holds bytes that were not UTF-8. */
export function hasBadUtf8(text: string): boolean {
  return /\p{Surrogate}/u.test(text);
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function decodeBytes(bytes: Buffer): string {
  try {
    return utf8.decode(bytes);
  } catch {
    return [...bytes].map((byte) => String.fromCharCode(byte < 0x80 ? byte : 0xdc00 + byte)).join('');
  }
}
