import { ParseError } from './scalars.js';

/** Seconds and nanoseconds, of a time since 1970 or of a span. */
export interface Instant {
  readonly seconds: bigint;
  readonly nanos: number;
}

/** First and last second that a google.protobuf.Timestamp may hold. */
export const TIMESTAMP_RANGE = { first: -62135596800n, last: 253402300799n } as const;

const LAYOUT = '2006-01-02T15:04:05.999999999Z07:00';

/** The pieces of a time: how each is read, what Go's layout calls it, and what its value may be. */
const PIECES: readonly (readonly [pattern: RegExp, layout: string, name: string, limit: number])[] = [
  [/^\d{4}/, '2006', 'year', 9999],
  [/^-/, '-', '', 0],
  [/^\d\d/, '01', 'month', 12],
  [/^-/, '-', '', 0],
  [/^\d\d/, '02', 'day', 99],
  [/^T/, 'T', '', 0],
  [/^\d\d?/, '15', 'hour', 23],
  [/^:/, ':', '', 0],
  [/^\d\d/, '04', 'minute', 59],
  [/^:/, ':', '', 0],
  [/^\d\d/, '05', 'second', 59],
];
const ZONE = /^(?:Z|([-+])(\d\d):(\d\d))/;

/** A time as Go's time.Parse reads RFC 3339. @throws ParseError with its text. */
export function parseGoTime(text: string): Instant {
  const failed = (rest: string, layout: string) =>
    new ParseError(
      `parsing time ${quote(text)} as ${quote(LAYOUT)}: cannot parse ${quote(rest)} as ${quote(layout)}`,
    );
  const outOfRange = (what: string) => new ParseError(`parsing time ${quote(text)}: ${what} out of range`);
  const numbers: number[] = [];
  let rest = text;
  for (const [pattern, layout, name, limit] of PIECES) {
    const piece = pattern.exec(rest)?.[0];
    if (piece === undefined) throw failed(rest, layout);
    rest = rest.slice(piece.length);
    if (name === '') continue;
    const value = Number(piece);
    if (value > limit || (name === 'month' && value === 0)) throw outOfRange(name);
    numbers.push(value);
  }
  const fraction = /^[.,](\d+)/.exec(rest);
  rest = rest.slice(fraction?.[0].length ?? 0);
  const zone = ZONE.exec(rest);
  if (zone === null) throw failed(rest, 'Z07:00');
  const [whole, sign, hours = '0', minutes = '0'] = zone;
  if (Number(hours) > 24) throw outOfRange('time zone offset hour');
  if (Number(minutes) > 60) throw outOfRange('time zone offset minute');
  rest = rest.slice(whole.length);
  if (rest !== '') throw new ParseError(`parsing time ${quote(text)}: extra text: ${quote(rest)}`);
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = numbers;
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day);
  if (day < 1 || date.getUTCMonth() !== month - 1) throw outOfRange('day');
  const offset = (Number(hours) * 60 + Number(minutes)) * (sign === '-' ? -60 : 60);
  const seconds = date.getTime() / 1000 + hour * 3600 + minute * 60 + second - offset;
  const nanos = Number((fraction?.[1] ?? '').slice(0, 9).padEnd(9, '0'));
  return { seconds: BigInt(seconds), nanos };
}

/** As many digits as say everything in range, zeros in front included. */
const MOST_DIGITS = 1000;
const LIMIT = 2n ** 63n;
const UNITS: Readonly<Record<string, bigint>> = {
  ns: 1n,
  us: 1_000n,
  µs: 1_000n,
  μs: 1_000n,
  ms: 1_000_000n,
  s: 1_000_000_000n,
  m: 60_000_000_000n,
  h: 3_600_000_000_000n,
};

/** A span as Go's time.ParseDuration reads it (`1h2m`, `-1.5s`). @throws ParseError with its text. */
export function parseGoDuration(text: string): Instant {
  const failed = (why: string) => new ParseError(`time: ${why} duration ${quote(text)}`);
  const [, sign = '', all = ''] = /^([-+]?)(.*)$/s.exec(text) ?? [];
  if (all === '0') return { seconds: 0n, nanos: 0 };
  if (all === '') throw failed('invalid');
  let nanos = 0n;
  for (let rest = all; rest !== ''; ) {
    const [piece, whole = '', fraction = '', unit = ''] = /^(\d*)(?:\.(\d*))?([^.\d]*)/.exec(rest) ?? [''];
    if (piece === '' || (whole === '' && fraction === '')) throw failed('invalid');
    if (whole.length > MOST_DIGITS) throw failed('invalid');
    if (unit === '') throw failed(BigInt(whole || 0) > LIMIT ? 'invalid' : 'missing unit in');
    const scale = UNITS[unit];
    if (scale === undefined) throw failed(`unknown unit ${quote(unit)} in`);
    if (BigInt(whole || 0) > LIMIT / scale) throw failed('invalid');
    nanos += BigInt(whole || 0) * scale + fractionOf(fraction, scale);
    if (nanos > LIMIT) throw failed('invalid');
    rest = rest.slice(piece.length);
  }
  if (sign !== '-' && nanos === LIMIT) throw failed('invalid');
  const signed = sign === '-' ? -nanos : nanos;
  return { seconds: signed / 1_000_000_000n, nanos: Number(signed % 1_000_000_000n) };
}

/** Go computes fractions of units in floating point, from as many digits as fit. */
function fractionOf(digits: string, scale: bigint): bigint {
  const kept = digits.slice(0, 18);
  return BigInt(Math.trunc(Number(kept || 0) * (Number(scale) / 10 ** kept.length)));
}

/** Go's package time quotes everything outside ASCII as bytes. */
function quote(text: string): string {
  const plain = text.replace(/["\\]/g, '\\$&');
  const bytes = plain.replace(/[^\u0020-\u007f]/gu, (char) =>
    [...Buffer.from(char)].map((byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join(''),
  );
  return `"${bytes}"`;
}
