import {
  AgentInfo_State,
  type AgentInfo as ProtoInfo,
  type AgentStats as ProtoStats,
} from '../../gen/vmagent/v1/agent.js';
import type { AgentHealth, AgentView } from '../model/agent.js';
import { healthToProto } from './agent-frames.js';
import { structFromJson } from './struct.js';
import { optionalTimestamp } from './time.js';

/** The two words that callers filter by. */
export type AgentStatus = 'online' | 'offline';

/** An agent's status in one word. */
export function agentStatus(agent: AgentView): AgentStatus {
  return agent.state === 'ONLINE' ? 'online' : 'offline';
}

/** An agent as callers see it. */
export function agentToProto(agent: AgentView): ProtoInfo {
  const { record } = agent;
  const { type, capabilities } = record;
  return {
    id: record.id,
    status: agentStatus(agent),
    state: AgentInfo_State[agent.state],
    stateReason: agent.stateReason,
    type,
    capabilities: [...capabilities],
    registeredAt: record.registeredMs,
    lastSeen: agent.lastSeenMs,
    lastHealthCheck: agent.health?.timestamp,
    metadata: structFromJson({ ...record.metadata, type, capabilities }),
    stats: agentStatsToProto(agent),
    health: healthToProto(agent.health ?? NO_HEALTH),
    currentTasks: agent.currentTasks.slice(0, MAX_CURRENT).map((task) => ({
      id: task.id,
      type: task.type,
      startedAt: task.startedMs,
      summary: task.summary,
    })),
    queuedTasks: agent.queuedTasks,
    busy: agent.currentTasks.some((task) => task.startedMs !== undefined),
    hasVm: record.hasVm,
    version: record.version,
    concurrency: record.concurrency,
    connectTime: optionalTimestamp(agent.connectMs),
  };
}

/** Counters of an agent. */
export function agentStatsToProto(agent: AgentView): ProtoStats {
  return {
    ...agent.record.counters,
    messagesReceived: agent.messagesReceived,
    messagesSent: agent.messagesSent,
  };
}

const MAX_CURRENT = 100;

const NO_HEALTH: AgentHealth = {
  systemUptime: 0,
  loadAverage: [],
  platform: '',
  arch: '',
  hostname: '',
  runningTasks: 0,
  killScope: '',
  timestamp: 0,
};
