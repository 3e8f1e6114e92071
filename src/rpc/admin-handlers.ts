import { type HubService, ListDeadLettersResponse_DeadLetter } from '../../gen/vmagent/v1/hub_service.js';
import { LOG_LEVELS, type LogLevel } from '../base/logger.js';
import { mapAsync } from '../base/map-async.js';
import type { HubApi } from '../hub/api.js';
import type { Caller } from '../security/caller.js';
import { agentStatsToProto, agentStatus } from '../wire/agent.js';
import { eventQueryFromProto, eventToProto } from '../wire/event.js';
import { logQueryFromProto, logToProto } from '../wire/log.js';
import { taskToProto } from '../wire/task.js';
import { check } from '../wire/violations.js';
import type { Handlers } from './call-context.js';
import { PageFiller } from './pages.js';

type AdminMethods =
  | 'streamLogs'
  | 'watchEvents'
  | 'getHealth'
  | 'getStats'
  | 'listDeadLetters'
  | 'clearDeadLetters'
  | 'setLogLevel';

const MAX_AGENTS = 5000;
const MAX_DEAD_LETTERS = 1000;

/** Hub methods about output, events and the hub itself. */
export function adminHandlers(hub: HubApi): Pick<Handlers<typeof HubService, Caller>, AdminMethods> {
  const { admin } = hub;
  return {
    async *streamLogs(ctx, req) {
      const query = logQueryFromProto(req);
      const cursor = await hub.logs.start(query);
      ctx.startsAt(cursor);
      // Without earlier lines the start is the end of what there was a moment ago.
      const entries = hub.logs.stream(query.lines === 0 ? { ...query, cursor } : query, ctx.signal);
      yield* mapAsync(entries, (entry) => ({ record: logToProto(entry) }));
    },
    async *watchEvents(ctx, req) {
      const query = eventQueryFromProto(req);
      const after = query.after ?? (await hub.events.last());
      ctx.startsAt(String(after));
      const events = hub.events.watch({ ...query, after }, ctx.signal);
      yield* mapAsync(events, (event) => ({ event: eventToProto(event) }));
    },
    async getHealth() {
      const health = await admin.health();
      return {
        status: health.healthy ? 'healthy' : 'unhealthy',
        uptime: health.uptimeSeconds,
        timestamp: health.timestampMs,
        agents: { ...health.agents },
        checks: health.checks.map(({ name, ok, message }) => ({
          name,
          status: ok ? 'ok' : 'failing',
          message,
        })),
        version: health.version,
      };
    },
    getStats: () => statsOf(hub),
    async listDeadLetters() {
      const filler = new PageFiller(ListDeadLettersResponse_DeadLetter);
      for (const task of (await admin.deadLetters()).slice(0, MAX_DEAD_LETTERS)) {
        const error = task.outcome?.message ?? task.outcome?.reason ?? '';
        if (!filler.add({ message: taskToProto(task), error, timestamp: task.endMs ?? 0 })) break;
      }
      return { deadLetterQueue: filler.items };
    },
    async clearDeadLetters() {
      await admin.clearDeadLetters();
      return { status: 'cleared' };
    },
    async setLogLevel(_ctx, req) {
      check((found) => found.oneOf('level', req.level, LOG_LEVELS));
      admin.setLogLevel(req.level as LogLevel);
      return { level: req.level };
    },
  };
}

async function statsOf(hub: HubApi) {
  const stats = await hub.admin.stats();
  return {
    router: {
      historySize: stats.historySize,
      deadLetterQueueSize: stats.deadLetters,
      totalAgents: stats.totalAgents,
      onlineAgents: stats.onlineAgents,
      queuedTasks: stats.queuedTasks,
      activeTasks: stats.activeTasks,
    },
    agents: stats.agents.slice(0, MAX_AGENTS).map((agent) => ({
      id: agent.record.id,
      status: agentStatus(agent),
      stats: agentStatsToProto(agent),
      currentTasks: agent.currentTasks.length,
    })),
  };
}
