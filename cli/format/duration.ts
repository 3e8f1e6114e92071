import { UsageError } from '../usage-error.js';

/** Longest life of a machine that the hub takes. */
export const MAX_LIFE_MS = 365 * 86_400_000;

const UNITS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/**
 * Reads a span such as `30s`, `5m`, `2h` or `500ms`; a bare number counts milliseconds.
 *
 * @throws UsageError naming `option`.
 */
export function parseDuration(option: string, text: string, maxMs = 2 ** 31 - 1): number {
  const [, number, unit = 'ms'] = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)?$/.exec(text) ?? [];
  const ms = Math.round(Number(number) * UNITS[unit as keyof typeof UNITS]);
  if (number === undefined || ms > maxMs) {
    throw new UsageError(`${option}: must be a time such as 30s, 5m or 2h, or milliseconds, not '${text}'`);
  }
  return ms;
}

/**
 * Reads a whole number in a range.
 *
 * @throws UsageError naming `option`.
 */
export function parseCount(option: string, text: string, max: number): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value <= max) return value;
  throw new UsageError(`${option}: must be a whole number from 0 to ${max}, not '${text}'`);
}

/** Milliseconds as the contract writes spans. */
export function spanOf(ms: number): { seconds: number; nanos: number } {
  return { seconds: Math.floor(ms / 1000), nanos: (ms % 1000) * 1e6 };
}

/** Seconds as `1d 2h`, `1h 5m`, `5m` or `42s`. */
export function formatSpan(seconds: number): string {
  const minutes = Math.floor(seconds / 60);
  const hours = Math.floor(minutes / 60);
  if (hours >= 24) return `${Math.floor(hours / 24)}d ${hours % 24}h`;
  if (hours > 0) return `${hours}h ${minutes % 60}m`;
  return minutes > 0 ? `${minutes}m` : `${Math.floor(seconds)}s`;
}

/** Milliseconds as seconds with one digit, such as `1.9s`. */
export function formatSeconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)}s`;
}
