import { Wakeups } from '../base/wakeups.js';
import type { AgentFrame, AttemptReport } from '../model/agent-protocol.js';
import { attemptKey } from './attempt-id.js';

type SmallFrame = Exclude<AgentFrame, { type: 'hello' | 'report' }>;

/** Small frames that may wait at once. Older ones are worth nothing when a hub does not read that long. */
const MAX_SMALL = 1000;

/**
 * What the agent has to say on Connect. The link takes frames one by one as fast as the hub reads them.
 *
 * Reports are durable elsewhere: they are dropped when the session ends and given again with {@link reset}. Only
 * the newest health report waits, and only the newest report of one attempt that repeats what is known.
 */
export class Outbox {
  private small: SmallFrame[] = [];
  private reports = new Map<string, AttemptReport>();
  /** There is something to send. */
  readonly ready = new Wakeups();

  /** Adds a frame. */
  push(frame: SmallFrame): void {
    if (frame.type === 'health') this.small = this.small.filter(({ type }) => type !== 'health');
    if (this.small.length >= MAX_SMALL) this.small.shift();
    this.small.push(frame);
    this.ready.notify();
  }

  /** Adds a report behind the others. */
  report(report: AttemptReport): void {
    this.reports.set(`${attemptKey(report)} ${report.state}`, report);
    this.ready.notify();
  }

  /** A new session: only these reports are to be sent, and nothing that was meant for the session before. */
  reset(reports: readonly AttemptReport[]): void {
    this.small = [];
    this.reports = new Map();
    for (const report of reports) this.report(report);
  }

  /** The next frame; undefined when there is none. */
  next(): AgentFrame | undefined {
    const small = this.small.shift();
    if (small !== undefined) return small;
    for (const [key, report] of this.reports) {
      this.reports.delete(key);
      return { type: 'report', report };
    }
    return undefined;
  }

  /** Whether nothing waits. */
  get empty(): boolean {
    return this.small.length === 0 && this.reports.size === 0;
  }
}
