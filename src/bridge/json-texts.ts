import { GatewayError } from './gateway-error.js';
import { goQuote } from './go-quote.js';
import { TIMESTAMP_RANGE } from './go-time.js';
import { PROTO } from './json-error.js';

/** Writes a well-known message whose JSON is a string. @throws GatewayError (UNKNOWN) for what has no such form. */
export type TextWriter = (message: never) => string;

interface Instant {
  readonly seconds: bigint;
  readonly nanos: number;
}

/** The messages whose JSON is a string, each with its writer, in Go's words where it fails. */
export const TEXT_WRITERS: Readonly<Record<string, TextWriter>> = {
  'google.protobuf.Timestamp': timestampText,
  'google.protobuf.Duration': durationText,
  'google.protobuf.FieldMask': maskText,
};

const MOST_NANOS = 999_999_999;
const MOST_SECONDS = 315_576_000_000n;

function timestampText({ seconds, nanos }: Instant): string {
  const name = 'google.protobuf.Timestamp';
  if (seconds < TIMESTAMP_RANGE.first || seconds > TIMESTAMP_RANGE.last) {
    throw failed(`${name}: seconds out of range ${seconds}`);
  }
  if (nanos < 0 || nanos > MOST_NANOS) throw failed(`${name}: nanos out of range ${nanos}`);
  const whole = new Date(Number(seconds) * 1000).toISOString().slice(0, 19);
  return `${whole}${fraction(nanos)}Z`;
}

function durationText({ seconds, nanos }: Instant): string {
  const name = 'google.protobuf.Duration';
  if (seconds < -MOST_SECONDS || seconds > MOST_SECONDS)
    throw failed(`${name}: seconds out of range ${seconds}`);
  if (nanos < -MOST_NANOS || nanos > MOST_NANOS) throw failed(`${name}: nanos out of range ${nanos}`);
  if ((seconds > 0n && nanos < 0) || (seconds < 0n && nanos > 0)) {
    throw failed(`${name}: signs of seconds and nanos do not match`);
  }
  const sign = seconds < 0n || nanos < 0 ? '-' : '';
  return `${sign}${seconds < 0n ? -seconds : seconds}${fraction(Math.abs(nanos))}s`;
}

/** 0, 3, 6 or 9 digits behind the point. */
function fraction(nanos: number): string {
  if (nanos === 0) return '';
  const digits = String(nanos).padStart(9, '0');
  return `.${digits.replace(/(000){1,2}$/, '')}`;
}

function maskText({ paths }: { readonly paths: readonly string[] }): string {
  const name = 'google.protobuf.FieldMask.paths';
  return paths
    .map((path) => {
      if (!/^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$/.test(path)) {
        throw failed(`${name} contains invalid path: ${goQuote(path)}`);
      }
      const camel = path.replace(/_+([a-z])?/g, (_, letter?: string) => letter?.toUpperCase() ?? '');
      const back = camel.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
      if (back !== path) throw failed(`${name} contains irreversible value ${goQuote(path)}`);
      return camel;
    })
    .join(',');
}

function failed(text: string): GatewayError {
  return new GatewayError(2, PROTO + text);
}
