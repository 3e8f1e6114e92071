/** A value of the contract as one line of JSON: times as RFC 3339, bytes as base64. */
export function jsonLine(value: unknown): string {
  return `${JSON.stringify(plain(value))}\n`;
}

function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value).toString('base64');
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== 'object' || value === null) return value;
  if (isTime(value)) return new Date(value.seconds * 1000 + value.nanos / 1e6).toISOString();
  const entries = Object.entries(value).filter(([, item]) => item !== undefined);
  return Object.fromEntries(
    entries.map(([key, item]) => [key, isSpan(key, item) ? span(item) : plain(item)]),
  );
}

interface Time {
  readonly seconds: number;
  readonly nanos: number;
}

function isTime(value: object): value is Time {
  return Object.keys(value).sort().join() === 'nanos,seconds';
}

/** Spans look like times; these are all that the contract has. */
const SPANS = ['ttl', 'idleStop'];

function isSpan(key: string, value: unknown): value is Time {
  return SPANS.includes(key) && typeof value === 'object' && value !== null && isTime(value);
}

function span({ seconds, nanos }: Time): string {
  return `${seconds + nanos / 1e9}s`;
}
