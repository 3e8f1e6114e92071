import { ParseError } from './scalars.js';

/** Which of the two alphabets, and whether there must be padding or must not. */
export interface Base64Form {
  readonly url: boolean;
  readonly padded: boolean;
}

/** @throws ParseError that names the byte at which Go's decoder of this form stops. */
export function goBase64(text: string, { url, padded }: Base64Form): Buffer {
  const alphabet = url ? /[A-Za-z0-9_-]/ : /[A-Za-z0-9+/]/;
  let group = '';
  let out = '';
  for (let at = 0; at < text.length; at++) {
    const char = text[at] ?? '';
    if (char === '\r' || char === '\n') continue;
    if (alphabet.test(char)) {
      group += char;
      if (group.length === 4) [out, group] = [out + group, ''];
      continue;
    }
    if (char !== '=' || !padded || group.length < 2) throw corrupt(at);
    checkPadding(text, at, group.length);
    return decode(out + group, url);
  }
  if (group.length === 1 || (padded && group !== '')) throw corrupt(text.length - group.length);
  return decode(out + group, url);
}

function checkPadding(text: string, first: number, length: number): void {
  let at = skipBreaks(text, first + 1);
  if (length === 2) {
    if (at >= text.length) throw corrupt(text.length);
    if (text[at] !== '=') throw corrupt(at - 1);
    at = skipBreaks(text, at + 1);
  }
  if (at < text.length) throw corrupt(at);
}

function skipBreaks(text: string, at: number): number {
  let next = at;
  while (text[next] === '\n' || text[next] === '\r') next++;
  return next;
}

function decode(text: string, url: boolean): Buffer {
  return Buffer.from(text, url ? 'base64url' : 'base64');
}

function corrupt(at: number): ParseError {
  return new ParseError(`illegal base64 data at input byte ${at}`);
}
