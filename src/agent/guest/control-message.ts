import { type GuestBoot, guestBootFrom } from '../../model/guest-boot.js';

const SEED_BYTES = 64;

/** What the host tells the agent of a guest. */
export type ControlMessage =
  /** The memory was restored: nothing that the agent knows of time, hub and secrets holds any more. */
  | { readonly type: 'woken'; readonly boot: GuestBoot; readonly timeMs: number; readonly seed: Buffer }
  | { readonly type: 'time'; readonly timeMs: number }
  /** The root disk has grown. */
  | { readonly type: 'grow' };

/** Reads a message. @throws HubError or Error saying what is wrong with it. */
export function controlMessageFrom(value: unknown): ControlMessage {
  const found = (typeof value === 'object' && value !== null ? value : {}) as Record<string, unknown>;
  switch (found.type) {
    case 'woken':
      return { type: 'woken', boot: guestBootFrom(found.boot), timeMs: timeOf(found), seed: seedOf(found) };
    case 'time':
      return { type: 'time', timeMs: timeOf(found) };
    case 'grow':
      return { type: 'grow' };
    default:
      throw new Error('its type is none of woken, time, grow');
  }
}

function timeOf({ timeMs }: Record<string, unknown>): number {
  if (typeof timeMs === 'number' && Number.isSafeInteger(timeMs) && timeMs > 0) return timeMs;
  throw new Error('timeMs must be milliseconds since 1970');
}

function seedOf({ seed }: Record<string, unknown>): Buffer {
  const bytes = Buffer.from(typeof seed === 'string' ? seed : '', 'base64');
  if (bytes.length === SEED_BYTES) return bytes;
  throw new Error(`seed must be ${SEED_BYTES} bytes in base64`);
}
