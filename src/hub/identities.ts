import type { Clock } from '../base/clock.js';
import { HubError } from '../model/hub-error.js';

/** How often two processes may take one identity from each other, and in which time. */
const MAX_FLIPS = 3;
const WINDOW_MS = 60_000;
/** How long an identity that is in use twice is refused. */
const QUARANTINE_MS = 600_000;
/** Superseded processes that are remembered of one identity. */
const REMEMBERED = 16;

interface History {
  /** Processes whose sessions were taken over by another one while they were open. */
  readonly superseded: string[];
  readonly flips: number[];
  quarantinedUntil: number;
}

/**
 * Finds identities that two live processes use at the same time, such as those of a cloned disk: each takes the
 * session from the other, again and again. A process that is restarted does not come back; these do.
 */
export class Identities {
  private readonly histories = new Map<string, History>();

  constructor(private readonly clock: Clock) {}

  /**
   * A process says Hello while `current` (if any) has the session.
   *
   * @throws HubError DUPLICATE_IDENTITY when the identity is in quarantine from now on, or still.
   */
  check(agent: string, incarnation: string, current: string | undefined): void {
    const history = this.histories.get(agent);
    if (history && this.clock.monotonic() < history.quarantinedUntil) throw duplicate(agent);
    if (current === undefined || current === incarnation) return;
    this.takenOver(agent, incarnation, current);
  }

  /** The identity is sound again: a new secret, or a machine that was started anew. */
  clear(agent: string): void {
    this.histories.delete(agent);
  }

  private takenOver(agent: string, incarnation: string, current: string): void {
    const history = this.histories.get(agent) ?? { superseded: [], flips: [], quarantinedUntil: 0 };
    this.histories.set(agent, history);
    const now = this.clock.monotonic();
    if (history.superseded.includes(incarnation)) history.flips.push(now);
    remember(history.superseded, current);
    while (history.flips.length > 0 && Number(history.flips[0]) < now - WINDOW_MS) history.flips.shift();
    if (history.flips.length <= MAX_FLIPS) return;
    history.quarantinedUntil = now + QUARANTINE_MS;
    history.flips.length = 0;
    throw duplicate(agent);
  }
}

function remember(list: string[], item: string): void {
  if (list.includes(item)) return;
  list.push(item);
  if (list.length > REMEMBERED) list.shift();
}

function duplicate(agent: string): HubError {
  const minutes = QUARANTINE_MS / 60_000;
  const message =
    `two machines use the identity of agent ${agent}; both are refused for ${minutes} minutes. ` +
    'Stop one of them, then register the agent again or restart its machine';
  return new HubError('DUPLICATE_IDENTITY', message, { metadata: { agent } });
}
