import type { Hello, HubFrame, Welcome } from '../model/agent-protocol.js';
import type { AttemptId } from './attempt-id.js';
import type { Outbox } from './outbox.js';
import type { OutputQueue } from './output-queue.js';
import type { Terminal } from './terminal.js';

/** A live connection to the hub, as the agent sees it. */
export interface Session {
  readonly welcome: Welcome;
  /** Carries a terminal to the hub until either side ends it. */
  attachShell(shell: string, terminal: Terminal): void;
  /** Closes after what waits was sent; reconnects after so many milliseconds, never when negative. */
  close(reconnectAfterMs: number): void;
}

/** What the link asks of the agent, and tells it. */
export interface AgentSide {
  /** The first frame of a session. */
  hello(): Hello;
  /** The hub answered: the session is open. */
  opened(session: Session): void;
  received(frame: Exclude<HubFrame, { type: 'welcome' }>): void;
  /** An assignment that this agent cannot read. */
  unreadable(id: AttemptId, message: string): void;
  /** The hub did not take a frame because of its size: large results are left out from now on. */
  frameRefused(): void;
  /** The session is over. */
  closed(): void;
  readonly outbox: Outbox;
  readonly output: OutputQueue;
}
