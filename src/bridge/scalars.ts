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
  if (/^[+-]?nan$/i.test(text)) return Number.NaN;
  if (!/^[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?$/i.test(text))
    throw failure('ParseFloat', text, 'invalid syntax');
  const value = Number(text);
  if (!Number.isFinite(bits === 32 ? Math.fround(value) : value)) {
    throw failure('ParseFloat', text, 'value out of range');
  }
  return value;
}

/** @throws ParseError with the text of Go's strconv.ParseBool. */
export function parseBoolean(text: string): boolean {
  if (['1', 't', 'T', 'TRUE', 'true', 'True'].includes(text)) return true;
  if (['0', 'f', 'F', 'FALSE', 'false', 'False'].includes(text)) return false;
  throw failure('ParseBool', text, 'invalid syntax');
}

/** Standard or URL-safe base64; padding is required. @throws ParseError. */
export function parseBase64(text: string): Uint8Array {
  const shape = /^[A-Za-z0-9+/]*={0,2}$/;
  const standard = text.replaceAll('-', '+').replaceAll('_', '/');
  const mixed = /[-_]/.test(text) && /[+/]/.test(text);
  if (mixed || standard.length % 4 !== 0 || !shape.test(standard))
    throw new ParseError('illegal base64 data');
  return new Uint8Array(Buffer.from(standard, 'base64'));
}

/** A duration by Go's time.ParseDuration (`1h2m`, `-1.5s`) in nanoseconds. @throws ParseError. */
export function parseGoDuration(text: string): bigint {
  const shape = /^([+-]?)(0|(?:(?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+)$/;
  const match = text.length > MOST_DIGITS ? null : shape.exec(text);
  if (match === null) throw new ParseError(`time: invalid duration ${JSON.stringify(text)}`);
  let nanos = 0n;
  for (const [, whole = '', fraction = '', unit = ''] of (match[2] ?? '').matchAll(
    /(\d*)\.?(\d*)(ns|us|µs|μs|ms|s|m|h)/g,
  )) {
    const scale = NANOS[unit] ?? 0n;
    nanos +=
      BigInt(whole || '0') * scale + (BigInt(fraction || '0') * scale) / 10n ** BigInt(fraction.length);
  }
  if (nanos > 2n ** 63n - 1n) throw new ParseError(`time: invalid duration ${JSON.stringify(text)}`);
  return match[1] === '-' ? -nanos : nanos;
}

const NANOS: Readonly<Record<string, bigint>> = {
  ns: 1n,
  us: 1_000n,
  µs: 1_000n,
  μs: 1_000n,
  ms: 1_000_000n,
  s: 1_000_000_000n,
  m: 60_000_000_000n,
  h: 3_600_000_000_000n,
};

/** More characters than any number needs that is not out of range; reading one takes the square of its length. */
const MOST_DIGITS = 1000;

function magnitude(text: string, base: IntegerBase): bigint | undefined {
  if (text.length > MOST_DIGITS) return /^[0-9_]+$/.test(text) ? TOO_LARGE : undefined;
  if (base === 'decimal') return /^\d+$/.test(text) ? BigInt(text) : undefined;
  const plain = text.replace(/(?<=[0-9a-fA-FxXoObB])_(?=[0-9a-fA-F])/g, '');
  if (/^(0[xX][0-9a-fA-F]+|0[oO][0-7]+|0[bB][01]+|0|[1-9]\d*)$/.test(plain))
    return BigInt(plain.toLowerCase());
  return /^0[0-7]+$/.test(plain) ? BigInt(`0o${plain.slice(1)}`) : undefined;
}

/** Outside of every range. */
const TOO_LARGE = 2n ** 64n;

function failure(fn: string, text: string, why: string): ParseError {
  return new ParseError(`strconv.${fn}: parsing ${JSON.stringify(text)}: ${why}`);
}
