/** How strings are escaped: `proto` as protojson does, `html` as Go's encoding/json does (also `<`, `>`, `&`). */
export type JsonEscaping = 'proto' | 'html';

/** A JSON string literal. */
export function quote(text: string, escaping: JsonEscaping): string {
  const quoted = JSON.stringify(text);
  if (escaping === 'proto') return quoted;
  return quoted.replace(/[<>&\u2028\u2029]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** A float or double as JSON: shortest form, `-0` kept, NaN and infinities as strings. */
export function numberText(value: number, bits: 32 | 64): string {
  if (Number.isNaN(value)) return '"NaN"';
  if (!Number.isFinite(value)) return value > 0 ? '"Infinity"' : '"-Infinity"';
  if (Object.is(value, -0)) return '-0';
  return String(bits === 32 ? shortestFloat(value) : value);
}

/** Sorts strings by their UTF-8 bytes, as Go does. */
export function byBytes(a: string, b: string): number {
  // Code units sort as bytes do below the surrogates.
  if (!ABOVE.test(a) && !ABOVE.test(b)) return a < b ? -1 : a > b ? 1 : 0;
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

const ABOVE = /[\ud800-\uffff]/;

/** The shortest decimal that is the same 32-bit float. */
function shortestFloat(value: number): number {
  for (let precision = 1; precision < 9; precision++) {
    const candidate = Number(value.toPrecision(precision));
    if (Math.fround(candidate) === value) return candidate;
  }
  return value;
}
