import type { ConnectRequest, ConnectResponse } from '../../../gen/vmagent/v1/agent_service.js';
import { untilAborted } from '../../base/abort.js';
import { Bell } from '../../base/bell.js';
import type { Clock } from '../../base/clock.js';
import { deferred } from '../../base/deferred.js';
import { runDetached } from '../../base/detached.js';
import type { Logger } from '../../base/logger.js';
import type { HubFrame, Welcome } from '../../model/agent-protocol.js';
import { HubError } from '../../model/hub-error.js';
import { agentFrameToProto, hubFrameFromProto } from '../../wire/agent-protocol.js';
import type { AgentSide, Session } from '../session.js';
import type { Terminal } from '../terminal.js';
import type { Channel } from './channel.js';
import { Duplex, type StreamEnd } from './duplex.js';
import { serveOutput } from './output-stream.js';
import { serveShell } from './shell-stream.js';

/** For the hub to answer Hello. */
const WELCOME_MS = 10_000;
/** For the hub to close after all was said. */
const CLOSE_MS = 5000;

/** What {@link HubSession} needs. */
export interface HubSessionOptions {
  readonly channel: Channel;
  readonly side: AgentSide;
  readonly clock: Clock;
  readonly log: Logger;
}

/** How a session ended. */
export interface SessionEnd {
  /** Undefined when it never opened. */
  readonly welcome: Welcome | undefined;
  /** What the hub said; undefined when it or the agent closed without an error. */
  readonly cause: StreamEnd;
  /** Set when the hub said when to come back; negative for never. */
  readonly reconnectAfterMs: number | undefined;
}

/** One Connect stream, from Hello to its end, with the streams that belong to it. */
export class HubSession implements Session {
  private readonly stream: Duplex<ConnectRequest, ConnectResponse>;
  private readonly stop = new AbortController();
  private readonly welcomed = deferred();
  private readonly bell: Bell;
  private opening: Welcome | undefined;
  private reconnectAfterMs: number | undefined;

  constructor(private readonly options: HubSessionOptions) {
    const { client, metadata } = options.channel;
    this.bell = new Bell(this.stop.signal);
    this.stream = new Duplex(client.connect(metadata()), (message) => this.receive(message));
  }

  get welcome(): Welcome {
    if (this.opening === undefined) throw new Error('the session is not open');
    return this.opening;
  }

  /** Runs to the end of the session. It does not throw for what the hub does. */
  async run(signal: AbortSignal): Promise<SessionEnd> {
    const { side } = this.options;
    try {
      await untilAborted(this.converse(), signal).catch(() => this.stream.cancel());
      const cause = await this.stream.closed;
      return { welcome: this.opening, cause, reconnectAfterMs: this.reconnectAfterMs };
    } finally {
      this.stop.abort(new Error('the session is over'));
      this.stream.cancel();
      if (this.opening !== undefined) side.closed();
    }
  }

  attachShell(shell: string, terminal: Terminal): void {
    const { channel, log } = this.options;
    const { sessionGeneration } = this.welcome;
    runDetached(log, 'shell stream', () => serveShell({ channel, sessionGeneration, shell }, terminal));
  }

  close(reconnectAfterMs: number): void {
    this.reconnectAfterMs ??= reconnectAfterMs;
    this.bell.ring();
  }

  private async converse(): Promise<void> {
    const { side, clock } = this.options;
    await this.stream.write(agentFrameToProto({ type: 'hello', hello: side.hello() }));
    using _limit = clock.after(WELCOME_MS, () => {
      if (this.opening === undefined) this.stream.cancel();
    });
    await Promise.race([this.welcomed.promise, this.stream.closed]);
    if (this.opening === undefined) return;
    await Promise.race([this.stream.closed, this.sendAll()]);
  }

  private async sendAll(): Promise<void> {
    const { side, clock } = this.options;
    using _ready = side.outbox.ready.listen(() => this.bell.ring());
    for (;;) {
      this.bell.reset();
      const frame = side.outbox.next();
      if (frame !== undefined) await this.stream.write(agentFrameToProto(frame));
      else if (this.reconnectAfterMs !== undefined) break;
      else await this.bell.wait();
      if (this.stream.isClosed) return;
    }
    this.stream.end();
    using _limit = clock.after(CLOSE_MS, () => this.stream.cancel());
    await this.stream.closed;
  }

  private receive(message: ConnectResponse): void {
    const frame = this.read(message);
    if (frame === undefined) return;
    if (frame.type !== 'welcome') {
      if (this.opening !== undefined) this.options.side.received(frame);
      return;
    }
    if (this.opening !== undefined) return;
    this.opening = frame.welcome;
    this.options.side.opened(this);
    this.carryOutput();
    this.welcomed.resolve();
  }

  /** An assignment that cannot be read is this one attempt's failure, not the session's. */
  private read(message: ConnectResponse): HubFrame | undefined {
    try {
      return hubFrameFromProto(message);
    } catch (err) {
      const assignment = message.frame?.$case === 'assignment' ? message.frame.value : undefined;
      if (!(err instanceof HubError) || assignment === undefined || assignment.task === '') throw err;
      this.options.side.unreadable({ task: assignment.task, attempt: assignment.attempt }, err.message);
      return undefined;
    }
  }

  private carryOutput(): void {
    const { channel, side, clock, log } = this.options;
    const { sessionGeneration } = this.welcome;
    const { signal } = this.stop;
    runDetached(log, 'output stream', async () => {
      try {
        await serveOutput({ channel, queue: side.output, sessionGeneration, clock, log }, signal);
      } catch (err) {
        if (signal.aborted) return;
        // A new session begins with all that is not acknowledged.
        this.stream.cancel();
        throw err;
      }
    });
  }
}
