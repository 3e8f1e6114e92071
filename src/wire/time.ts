import type { Duration } from '../../gen/google/protobuf/duration.js';
import type { Timestamp } from '../../gen/google/protobuf/timestamp.js';

/** Milliseconds since 1970 as a Timestamp. */
export function timestampFromMs(ms: number): Timestamp {
  return split(ms);
}

/** As {@link timestampFromMs}; undefined stays undefined. */
export function optionalTimestamp(ms: number | undefined): Timestamp | undefined {
  return ms === undefined ? undefined : split(ms);
}

/** A Timestamp as milliseconds since 1970; undefined stays undefined. Parts of a millisecond are cut off. */
export function msFromTimestamp(time: Timestamp | undefined): number | undefined {
  return time === undefined ? undefined : join(time);
}

/** Milliseconds as a Duration; undefined stays undefined. */
export function durationFromMs(ms: number | undefined): Duration | undefined {
  return ms === undefined ? undefined : split(ms);
}

/** A Duration as milliseconds; undefined stays undefined. */
export function msFromDuration(duration: Duration | undefined): number | undefined {
  return duration === undefined ? undefined : join(duration);
}

function split(ms: number): { seconds: number; nanos: number } {
  const whole = Math.trunc(ms);
  const seconds = Math.floor(whole / 1000);
  return { seconds, nanos: (whole - seconds * 1000) * 1_000_000 };
}

function join(time: { readonly seconds: number; readonly nanos: number }): number {
  return time.seconds * 1000 + Math.trunc(time.nanos / 1_000_000);
}
