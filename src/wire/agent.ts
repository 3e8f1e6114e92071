import {
  AgentInfo_State,
  type AgentHealth as ProtoHealth,
  type AgentInfo as ProtoInfo,
  type AgentStats as ProtoStats,
} from '../../gen/vmagent/v1/agent.js';
import type { AgentHealth, AgentView } from '../model/agent.js';
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

/** A health report, as a message. */
export function healthToProto(health: AgentHealth): ProtoHealth {
  return {
    cpu: health.cpu,
    memory: health.memory,
    disk: health.disk,
    uptime: health.uptime,
    systemUptime: health.systemUptime,
    loadAverage: [...health.loadAverage],
    platform: health.platform,
    arch: health.arch,
    hostname: health.hostname,
    runningTasks: health.runningTasks,
    killScope: health.killScope,
    timestamp: health.timestamp,
  };
}

/**
 * A health report of an agent. What an agent says is not trusted: texts are cut, and numbers that are none are
 * left out.
 */
export function healthFromProto(proto: ProtoHealth): AgentHealth {
  return {
    ...optional('cpu', finite(proto.cpu)),
    ...(proto.memory === undefined ? {} : { memory: usage(proto.memory) }),
    ...(proto.disk === undefined ? {} : { disk: usage(proto.disk) }),
    ...optional('uptime', finite(proto.uptime)),
    systemUptime: finite(proto.systemUptime) ?? 0,
    loadAverage: proto.loadAverage.slice(0, 3).map((load) => finite(load) ?? 0),
    platform: proto.platform.slice(0, SHORT_TEXT),
    arch: proto.arch.slice(0, SHORT_TEXT),
    hostname: proto.hostname.slice(0, HOST_NAME),
    runningTasks: Math.max(0, proto.runningTasks),
    killScope: proto.killScope.slice(0, SHORT_TEXT),
    timestamp: finite(proto.timestamp) ?? 0,
  };
}

const MAX_CURRENT = 100;
const SHORT_TEXT = 64;
const HOST_NAME = 255;

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

function usage(proto: NonNullable<ProtoHealth['memory']>) {
  return {
    total: finite(proto.total) ?? 0,
    used: finite(proto.used) ?? 0,
    free: finite(proto.free) ?? 0,
    usagePercent: finite(proto.usagePercent) ?? 0,
  };
}

function finite(value: number | undefined): number | undefined {
  return value === undefined || !Number.isFinite(value) ? undefined : value;
}

function optional<K extends string>(key: K, value: number | undefined): { readonly [P in K]?: number } {
  return value === undefined ? {} : ({ [key]: value } as { readonly [P in K]?: number });
}
