import { ParseError, parseFloating } from './scalars.js';

/** A number at the beginning of a text, with nothing directly behind it that would belong to it. */
const LEADING = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE](?=[\s\S])(?:[-+](?=[\s\S]))?\d*)?(?![-+._a-zA-Z0-9])/;
const PARTS = /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([-+]?\d*))?$/;
/** Digits of the largest integer of 64 bits. */
const MAX_DIGITS = 20;

/** The number in a JSON string: as in Go's reader, what follows it is not looked at. Undefined when there is none. */
export function numberInString(text: string): string | undefined {
  if (text.trim().length !== text.length) return undefined;
  return LEADING.exec(text)?.[0];
}

/** The integer that a JSON number is, such as 1e2 or 5.0; undefined for those that are not whole, and for huge ones. */
export function wholeNumber(text: string): bigint | undefined {
  if (/^-?\d{1,15}$/.test(text)) return BigInt(text);
  const [, sign = '', digits = '', fraction = '', exponent = ''] = PARTS.exec(text) ?? [];
  if (digits === '') return undefined;
  const whole = digits.replace(/^0$/, '');
  const rest = withoutZeros(fraction);
  if (whole === '' && rest === '') return 0n;
  const shift = Number(exponent === '' ? 0 : exponent);
  if (!Number.isSafeInteger(shift) || Math.abs(shift) > 2 ** 31) return undefined;
  const shifted = shift >= 0 ? shiftLeft(whole, rest, shift) : shiftRight(whole, rest, -shift);
  if (shifted === undefined || shifted === '') return undefined;
  return sign === '' ? BigInt(shifted) : -BigInt(shifted);
}

/** The float that a JSON number is; undefined when it is too large. */
export function floatNumber(text: string, bits: 32 | 64): number | undefined {
  try {
    return parseFloating(text, bits);
  } catch (err) {
    if (err instanceof ParseError) return undefined;
    throw err;
  }
}

function withoutZeros(fraction: string): string {
  let end = fraction.length;
  while (fraction[end - 1] === '0') end--;
  return fraction.slice(0, end);
}

function shiftLeft(whole: string, fraction: string, by: number): string | undefined {
  if (fraction.length > by || whole.length + by > MAX_DIGITS) return undefined;
  return whole + fraction + '0'.repeat(by - fraction.length);
}

function shiftRight(whole: string, fraction: string, by: number): string | undefined {
  const keep = whole.length - by;
  if (fraction !== '' || keep < 0 || /[^0]/.test(whole.slice(keep))) return undefined;
  return whole.slice(0, keep);
}
