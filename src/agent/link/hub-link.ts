import { status } from '@grpc/grpc-js';
import { Backoff } from '../../base/backoff.js';
import type { Clock } from '../../base/clock.js';
import { messageOf } from '../../base/errno.js';
import type { Logger } from '../../base/logger.js';
import type { AgentSide } from '../session.js';
import { type Channel, type ChannelOptions, openChannel } from './channel.js';
import { HubSession, type SessionEnd } from './hub-session.js';

const MIN_WAIT_MS = 200;
const MAX_WAIT_MS = 2000;
/** For an agent that the hub does not want as it is: only a person can help. */
const REFUSED_FIRST_MS = 2000;
const REFUSED_MAX_MS = 60_000;

/** What {@link HubLink} needs. */
export interface HubLinkOptions extends ChannelOptions {
  readonly side: AgentSide;
  /** For the first session: a connection that was begun before the agent was ready. Default: none. */
  readonly dialed?: Promise<Channel>;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Keeps the agent connected: a new channel and session whenever one is over, for ever. */
export class HubLink {
  private readonly refused = new Backoff({
    initialMs: REFUSED_FIRST_MS,
    maxMs: REFUSED_MAX_MS,
    minMs: MIN_WAIT_MS,
  });
  private readonly superseded = new Backoff({
    initialMs: MAX_WAIT_MS,
    maxMs: REFUSED_MAX_MS,
    minMs: MIN_WAIT_MS,
  });
  private spreadMs = MAX_WAIT_MS;
  private dialed: Promise<Channel> | undefined;

  constructor(private readonly options: HubLinkOptions) {
    this.dialed = options.dialed;
  }

  /** Resolves when the signal aborts, or when the hub or the agent said that it is not to come back. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, log, door } = this.options;
    while (!signal.aborted) {
      let waitMs: number;
      try {
        const end = await this.session(signal);
        if (end.reconnectAfterMs !== undefined && end.reconnectAfterMs < 0) return;
        waitMs = this.after(end);
      } catch (err) {
        if (signal.aborted) return;
        waitMs = this.soon();
        log.warn('the hub cannot be reached', { door, cause: messageOf(err), waitMs: Math.round(waitMs) });
      }
      await clock.sleep(waitMs, signal).catch(() => {});
    }
  }

  private async session(signal: AbortSignal): Promise<SessionEnd> {
    const { side, clock, log } = this.options;
    const channel = await (this.dialed ?? openChannel(this.options, signal)).finally(() => {
      this.dialed = undefined;
    });
    try {
      return await new HubSession({ channel, side, clock, log }).run(signal);
    } finally {
      channel.client.close();
    }
  }

  private after({ welcome, cause, reconnectAfterMs }: SessionEnd): number {
    const { log } = this.options;
    const fields = { code: cause?.code, cause: cause?.details };
    if (welcome !== undefined) {
      this.spreadMs = Math.max(MAX_WAIT_MS, welcome.reconnectSpreadMs);
      this.refused.reset();
    }
    if (reconnectAfterMs !== undefined) return reconnectAfterMs;
    switch (cause?.code) {
      case status.UNAUTHENTICATED:
      case status.FAILED_PRECONDITION:
      case status.PERMISSION_DENIED:
        log.error('the hub refuses this agent', fields);
        return this.refused.next();
      case status.ABORTED:
        log.warn('a newer session of this agent took over', fields);
        return this.superseded.next();
      case status.RESOURCE_EXHAUSTED:
        if (welcome !== undefined && isOfTransport(cause)) this.options.side.frameRefused();
        break;
      default:
        this.superseded.reset();
    }
    log.info('the session ended', fields);
    return this.soon();
  }

  /** Full jitter, as wide as the hub asked for. */
  private soon(): number {
    return MIN_WAIT_MS + Math.random() * (this.spreadMs - MIN_WAIT_MS);
  }
}

/** Whether gRPC itself said so, of a message that is too long: what the hub refuses carries details. */
function isOfTransport(cause: NonNullable<SessionEnd['cause']>): boolean {
  return cause.metadata.get('grpc-status-details-bin').length === 0;
}
