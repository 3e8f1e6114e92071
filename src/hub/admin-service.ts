import { messageOf } from '../base/errno.js';
import type { LevelSwitch, LogLevel } from '../base/logger.js';
import type { Task } from '../model/task.js';
import type { AdminApi, HealthReport, StatsReport } from './api.js';
import type { HubContext } from './context.js';
import type { Presence } from './presence.js';
import type { Sessions } from './sessions.js';

/** Where the time of the last clearing of dead letters is kept. */
const CLEARED_KEY = 'dead_letters_cleared_ms';
const MAX_DEAD_LETTERS = 1_000;
const MAX_AGENTS = 5_000;
/** How long one health check may take. */
const CHECK_TIMEOUT_MS = 5_000;

export interface AdminParts {
  readonly ctx: HubContext;
  readonly sessions: Sessions;
  readonly presence: Presence;
  readonly levels: LevelSwitch;
  readonly version: string;
}

/** Health, counters, dead letters, metrics and the log level. */
export class AdminService implements AdminApi {
  private readonly ctx: HubContext;
  private readonly startedMs: number;

  constructor(private readonly parts: AdminParts) {
    this.ctx = parts.ctx;
    this.startedMs = this.ctx.clock.monotonic();
  }

  async health(): Promise<HealthReport> {
    const checks = await Promise.all([
      this.check('store', () => this.ctx.store.check()),
      this.check('output', () => this.ctx.output.check()),
    ]);
    const total = checks[0]?.ok ? (await this.ctx.store.agents.list()).length : this.parts.sessions.size;
    return {
      healthy: checks.every((check) => check.ok),
      uptimeSeconds: (this.ctx.clock.monotonic() - this.startedMs) / 1000,
      timestampMs: this.ctx.clock.now(),
      agents: { total, online: this.parts.sessions.size },
      checks,
      version: this.parts.version,
    };
  }

  async stats(): Promise<StatsReport> {
    const { store } = this.ctx;
    const [counts, load, records] = await Promise.all([
      store.tasks.counts(),
      store.tasks.load(),
      store.agents.list(),
    ]);
    const letters = await this.deadLetters();
    return {
      historySize: await store.events.count(),
      deadLetters: letters.length,
      totalAgents: records.length,
      onlineAgents: this.parts.sessions.size,
      queuedTasks: counts.queued,
      activeTasks: counts.dispatched + counts.running,
      agents: records
        .slice(0, MAX_AGENTS)
        .map((record) => this.parts.presence.view(record, load.get(record.id))),
    };
  }

  async deadLetters(): Promise<readonly Task[]> {
    const cleared = Number((await this.ctx.store.values.get(CLEARED_KEY)) ?? 0);
    const filter = { deadLetters: true, endedAfterMs: cleared };
    return this.ctx.store.tasks.list(filter, { size: MAX_DEAD_LETTERS });
  }

  async clearDeadLetters(): Promise<void> {
    await this.ctx.store.values.set(CLEARED_KEY, String(this.ctx.clock.now()));
  }

  setLogLevel(level: LogLevel): void {
    this.parts.levels.level = level;
    this.ctx.log.info('log level set', { to: level });
  }

  metrics() {
    return this.ctx.metrics.scrape({
      agents: () => ({ online: this.parts.sessions.size, offline: this.parts.presence.offlineCount() }),
      tasks: async () => {
        const counts = await this.ctx.store.tasks.counts();
        return { queued: counts.queued, active: counts.dispatched + counts.running };
      },
    });
  }

  private async check(name: string, probe: () => Promise<void>) {
    const timeout = this.ctx.clock
      .sleep(CHECK_TIMEOUT_MS)
      .then(() => Promise.reject(new Error('took too long')));
    try {
      await Promise.race([probe(), timeout]);
      return { name, ok: true, message: '' };
    } catch (err) {
      return { name, ok: false, message: messageOf(err) };
    } finally {
      timeout.catch(() => {});
    }
  }
}
