/** Limits and times of a hub. Sizes in bytes, times in milliseconds. */
export interface HubLimits {
  /** Unfinished tasks of one agent, or of the pool. */
  readonly queuedPerAgent: number;
  /** Lanes of one agent that have unfinished tasks. */
  readonly lanesPerAgent: number;
  /** Tasks of one lane that an agent may hold at once. */
  readonly laneWindow: number;
  /** Tasks that an agent may hold at once in all. */
  readonly slots: number;
  /** Output that an agent may send without an acknowledgement. */
  readonly outputWindowBytes: number;
  /** How often agents send health. */
  readonly healthIntervalMs: number;
  /** Over how long a small fleet spreads its reconnects. */
  readonly reconnectSpreadMs: number;
  /** How long a new stream may take to say who it is. */
  readonly helloTimeoutMs: number;
  /** How long a result waits for its output before the rest is declared lost. */
  readonly outputDeadlineMs: number;
  /** How long the tasks of an agent that is gone stay RUNNING before they are LOST. */
  readonly lostAfterMs: number;
  /** How long opening a shell may take. */
  readonly shellTimeoutMs: number;
  /** How long tasks may take to freeze for a snapshot. */
  readonly freezeTimeoutMs: number;
  /** Frames that may wait for an agent before its session is closed. */
  readonly framesPerSession: number;
  /** Ended tasks are kept this long. */
  readonly taskRetentionMs: number;
  /** Events that are kept. */
  readonly eventsKept: number;
  /** Output that is kept. */
  readonly outputBytesKept: number;
  /** Output is kept this long. */
  readonly outputRetentionMs: number;
}

const MINUTE = 60_000;
const DAY = 24 * 60 * MINUTE;

/** The limits in force unless configured otherwise. */
export const DEFAULT_LIMITS: HubLimits = {
  queuedPerAgent: 100_000,
  lanesPerAgent: 1_000,
  laneWindow: 8,
  slots: 64,
  outputWindowBytes: 4 * 1024 * 1024,
  healthIntervalMs: 5_000,
  reconnectSpreadMs: 2_000,
  helloTimeoutMs: 10_000,
  outputDeadlineMs: 30_000,
  lostAfterMs: 5 * MINUTE,
  shellTimeoutMs: 15_000,
  freezeTimeoutMs: 30_000,
  framesPerSession: 20_000,
  taskRetentionMs: 30 * DAY,
  eventsKept: 100_000,
  outputBytesKept: 20 * 1024 ** 3,
  outputRetentionMs: 30 * DAY,
};
