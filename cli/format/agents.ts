import type { AgentInfo, GetAgentStatusResponse, Snapshot, Vm } from '../../src/client/index.js';
import { bytes } from './bytes.js';
import { formatSpan } from './duration.js';
import { safe } from './errors.js';
import { accelerationWord, lifeFacts, networkWord, usageWords } from './machines.js';
import { table } from './table.js';

const HEAD = ['Name', 'Status', 'Type', 'CPU', 'Memory', 'Tasks', 'Uptime'];
const NOT_KNOWN = 'N/A';

/** The table of `vm-agent list`. */
export function agentList(agents: readonly AgentInfo[]): string {
  if (agents.length === 0) return 'No agents registered\n';
  const rows = agents.map((agent) => [
    agent.id,
    agent.status,
    agent.type,
    agent.health?.cpu === undefined ? NOT_KNOWN : `${Math.round(agent.health.cpu)}%`,
    agent.health?.memory ? `${agent.health.memory.usagePercent.toFixed(1)}%` : NOT_KNOWN,
    String(agent.currentTasks.length),
    uptime(agent),
  ]);
  return `${table(HEAD, rows)}\nTotal: ${agents.length} agents\n`;
}

/** The block of `vm-agent status`. */
export function agentStatus(
  answer: GetAgentStatusResponse,
  snapshots: readonly Snapshot[],
  nowMs: number,
): string {
  const { agent, vm } = answer;
  if (!agent) return '';
  const sections = [
    `╔═══ Agent Status: ${agent.id} ═══╗`,
    lines(identity(agent, vm)),
    `Resources\n${lines(resources(agent, vm))}`,
    ...(vm ? [`Machine\n${lines(machine(vm, nowMs))}`] : []),
    `Statistics\n${lines(statistics(agent))}`,
    `Active Tasks\n${activeTasks(agent)}`,
    ...(vm ? [`Snapshots\n${snapshotList(snapshots, nowMs)}`] : []),
    `Capabilities\n  ${safe(agent.capabilities.join(', ')) || 'none'}`,
  ];
  return `${sections.join('\n\n')}\n`;
}

type Facts = readonly (readonly [string, string])[];

function lines(facts: Facts): string {
  const shown = facts.filter(([, value]) => value !== '');
  return shown.map(([name, value]) => `  ${`${name}:`.padEnd(20)}${safe(value)}`).join('\n');
}

function identity(agent: AgentInfo, vm: Vm | undefined): Facts {
  const why = agent.stateReason ? ` (${agent.stateReason})` : '';
  return [
    ['Status', `${agent.status}${why}`],
    ['State', agent.state],
    ['Type', agent.type],
    ['IP', vm?.address || metadataText(agent, 'vmIp')],
    ['Registered', time(agent.registeredAt)],
    ['Last Seen', agent.lastSeen === undefined ? 'never' : time(agent.lastSeen)],
    ['Uptime', uptime(agent)],
    ['Agent version', agent.version],
    ['Kill scope', agent.health?.killScope ?? ''],
  ];
}

function resources({ health }: AgentInfo, vm: Vm | undefined): Facts {
  const cores = vm?.resources?.cpu ? `${vm.resources.cpu} cores ` : '';
  const used = health?.cpu === undefined ? NOT_KNOWN : `${Math.round(health.cpu)}% used`;
  return [
    ['CPU', `${cores}(${used})`],
    ['Memory', usage(vm?.resources?.memory, health?.memory)],
    ['Disk', usage(vm?.resources?.disk, health?.disk)],
    ['Load', health?.loadAverage.map((load) => load.toFixed(2)).join(' ') ?? ''],
  ];
}

function usage(
  asked: string | undefined,
  now: { readonly total: number; readonly used: number; readonly usagePercent: number } | undefined,
): string {
  const used = now
    ? `${gib(now.used)} of ${gib(now.total)} GiB used, ${now.usagePercent.toFixed(1)}%`
    : NOT_KNOWN;
  return asked ? `${asked} (${used})` : used;
}

function machine(vm: Vm, nowMs: number): Facts {
  const { isolation } = vm;
  const boundary = isolation?.securityBoundary ? 'a security boundary' : 'not a security boundary';
  return [
    ['Provider', vm.provider],
    ['Acceleration', vm.acceleration ? accelerationWord(vm.acceleration) : ''],
    ['VM state', vm.state],
    ['Image', vm.image],
    ['Profile', vm.profile],
    ['Network', networkWord(vm.network)],
    ['Uses', usageWords(vm.usage)],
    ...lifeFacts(vm, nowMs),
    ['Isolation', isolation ? `${isolation.kind}, ${boundary}` : ''],
    ['Private paths', isolation?.privatePaths.join(', ') ?? ''],
    ['Not enforced', isolation?.notEnforced.join(', ') ?? ''],
    ['Notes', isolation?.notes.join(' ') ?? ''],
    ['Error', vm.error],
  ];
}

function statistics({ stats, queuedTasks }: AgentInfo): Facts {
  return [
    ['Tasks Received', String(stats?.tasksReceived ?? 0)],
    ['Tasks Completed', String(stats?.tasksCompleted ?? 0)],
    ['Tasks Failed', String(stats?.tasksFailed ?? 0)],
    ['Tasks Queued', String(queuedTasks)],
    ['Messages Sent', String(stats?.messagesSent ?? 0)],
    ['Messages Received', String(stats?.messagesReceived ?? 0)],
  ];
}

function activeTasks({ currentTasks }: AgentInfo): string {
  if (currentTasks.length === 0) return '  none';
  return currentTasks.map(({ id, type, summary }) => `  ${safe(`${id} ${type} ${summary}`)}`).join('\n');
}

function snapshotList(snapshots: readonly Snapshot[], nowMs: number): string {
  if (snapshots.length === 0) return '  none';
  return snapshots
    .map(({ name, createTime, live, sizeBytes }) => {
      const age = createTime ? `, ${formatSpan(Math.max(0, nowMs / 1000 - createTime.seconds))} old` : '';
      return `  ${name} (${live ? 'live' : 'disk'}${age}, ${bytes(sizeBytes)})`;
    })
    .join('\n');
}

function uptime({ health }: AgentInfo): string {
  return health?.uptime ? formatSpan(health.uptime) : NOT_KNOWN;
}

function metadataText({ metadata }: AgentInfo, key: string): string {
  const value: unknown = metadata?.[key];
  return typeof value === 'string' ? value : '';
}

function time(ms: number): string {
  return ms > 0 ? new Date(ms).toISOString() : NOT_KNOWN;
}

function gib(mib: number): string {
  return (mib / 1024).toFixed(1);
}
