import { type GuestBoot, guestBootFrom } from '../../model/guest-boot.js';

/** What the host tells the agent of a guest. Time and seed are for the control port, which has used them. */
export type ControlMessage =
  /** The memory was restored: nothing that the agent knows of time, hub and secrets holds any more. */
  | { readonly type: 'woken'; readonly boot: GuestBoot }
  /** The clock was set. */
  | { readonly type: 'time' }
  /** The root disk has grown. */
  | { readonly type: 'grow' }
  /** The machine is to switch off in good order. */
  | { readonly type: 'off' };

/** Reads a message. @throws HubError or Error saying what is wrong with it. */
export function controlMessageFrom(value: unknown): ControlMessage {
  const found = (typeof value === 'object' && value !== null ? value : {}) as Record<string, unknown>;
  switch (found.type) {
    case 'woken':
      return { type: 'woken', boot: guestBootFrom(found.boot) };
    case 'time':
      return { type: 'time' };
    case 'grow':
      return { type: 'grow' };
    case 'off':
      return { type: 'off' };
    default:
      throw new Error('its type is none of woken, time, grow, off');
  }
}
