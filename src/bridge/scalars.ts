import { goQuote } from './go-quote.js';

/** Whether integers may be written as in Go source (`0x10`, `010`), as in path parameters. */
export type IntegerBase = 'any' | 'decimal';

/** A text that is not what a field needs. The message is Go's. */
export class ParseError extends Error {
  override readonly name = 'ParseError';
}

/** @throws ParseError with the text of Go's strconv.ParseInt. */
export function parseInteger(text: string, bits: 32 | 64, base: IntegerBase): bigint {
  const match = /^([+-]?)(.+)$/s.exec(text);
  const digits = match === null ? undefined : magnitude(match[2] ?? '', base);
  if (digits === undefined) throw failure('ParseInt', text, 'invalid syntax');
  const value = match?.[1] === '-' ? -digits : digits;
  if (BigInt.asIntN(bits, value) !== value) throw failure('ParseInt', text, 'value out of range');
  return value;
}

/** @throws ParseError with the text of Go's strconv.ParseUint. */
export function parseUnsigned(text: string, bits: 32 | 64, base: IntegerBase): bigint {
  const value = magnitude(text, base);
  if (value === undefined) throw failure('ParseUint', text, 'invalid syntax');
  if (BigInt.asUintN(bits, value) !== value) throw failure('ParseUint', text, 'value out of range');
  return value;
}

/** @throws ParseError with the text of Go's strconv.ParseFloat. */
export function parseFloating(text: string, bits: 32 | 64): number {
  if (/^[+-]?inf(inity)?$/i.test(text)) return text.startsWith('-') ? -Infinity : Infinity;
  if (/^nan$/i.test(text)) return Number.NaN;
  const value = HEXADECIMAL.test(text) ? hexadecimal(text) : decimal(text);
  if (value === undefined) throw failure('ParseFloat', text, 'invalid syntax');
  const rounded = bits === 32 ? Math.fround(value) : value;
  if (!Number.isFinite(rounded)) throw failure('ParseFloat', text, 'value out of range');
  return rounded;
}

const HEXADECIMAL = /^([+-]?)0x(?=[._0-9a-f]*[0-9a-f])([_0-9a-f]*)(?:\.([_0-9a-f]*))?p([+-]?\d+)$/i;

function decimal(text: string): number | undefined {
  if (/_(?!\d)|(?<!\d)_/.test(text)) return undefined;
  const plain = text.replaceAll('_', '');
  return /^[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?$/i.test(plain) ? Number(plain) : undefined;
}

/** Go's hexadecimal floats, such as 0x1.8p1; underscores may separate digits. */
function hexadecimal(text: string): number | undefined {
  const [, sign = '', whole = '', fraction = '', exponent = ''] = HEXADECIMAL.exec(text) ?? [];
  if (/_(_|\.|p|$)|\._/i.test(text) || text.length > MOST_DIGITS) return undefined;
  const digits = `${whole}${fraction}`.replaceAll('_', '');
  const places = fraction.replaceAll('_', '').length;
  const value = Number.parseInt(digits, 16) * 2 ** (Number(exponent) - 4 * places);
  return sign === '-' ? -value : value;
}

/** @throws ParseError with the text of Go's strconv.ParseBool. */
export function parseBoolean(text: string): boolean {
  if (['1', 't', 'T', 'TRUE', 'true', 'True'].includes(text)) return true;
  if (['0', 'f', 'F', 'FALSE', 'false', 'False'].includes(text)) return false;
  throw failure('ParseBool', text, 'invalid syntax');
}

/** More characters than any number needs that is not out of range; reading one takes the square of its length. */
const MOST_DIGITS = 1000;
/** Outside of every range. */
const TOO_LARGE = 2n ** 64n;

function magnitude(text: string, base: IntegerBase): bigint | undefined {
  if (text.length > MOST_DIGITS) return /^[0-9_]+$/.test(text) ? TOO_LARGE : undefined;
  if (base === 'decimal') return /^\d+$/.test(text) ? BigInt(text) : undefined;
  const plain = text.replace(/(?<=[0-9a-fA-FxXoObB])_(?=[0-9a-fA-F])/g, '');
  if (/^(0[xX][0-9a-fA-F]+|0[oO][0-7]+|0[bB][01]+|0|[1-9]\d*)$/.test(plain))
    return BigInt(plain.toLowerCase());
  return /^0[0-7]+$/.test(plain) ? BigInt(`0o${plain.slice(1)}`) : undefined;
}

function failure(fn: string, text: string, why: string): ParseError {
  return new ParseError(`strconv.${fn}: parsing ${goQuote(text)}: ${why}`);
}
