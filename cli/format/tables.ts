import type { Event, Profile, Provider, Snapshot, Task } from '../../src/client/index.js';
import { bytes } from './bytes.js';
import { formatSpan } from './duration.js';
import { safe } from './errors.js';
import { accelerationWord } from './machines.js';
import { table } from './table.js';

/** The table of `vm-agent snapshots`. */
export function snapshotTable(snapshots: readonly Snapshot[], nowMs: number): string {
  const rows = snapshots.map(({ name, createTime, sizeBytes, live, description }) => [
    name,
    live ? 'live' : 'disk',
    createTime ? formatSpan(Math.max(0, nowMs / 1000 - createTime.seconds)) : '',
    bytes(sizeBytes),
    time(createTime),
    description,
  ]);
  return table(['Name', 'Kind', 'Age', 'Size', 'Created', 'Description'], rows);
}

/** The table of `vm-agent providers`. */
export function providerTable(providers: readonly Provider[]): string {
  const rows = providers.map((provider) => [
    provider.isDefault ? `${provider.name} (default)` : provider.name,
    provider.available ? 'yes' : 'no',
    provider.isolation?.kind ?? '',
    provider.acceleration ? accelerationWord(provider.acceleration) : '-',
    provider.networks.join(','),
    provider.capabilities.join(','),
    provider.reason,
  ]);
  const head = ['Name', 'Available', 'Isolation', 'Acceleration', 'Networks', 'Capabilities', 'Reason'];
  return table(head, rows);
}

/** The table of `vm-agent profiles`. */
export function profileTable(profiles: readonly Profile[]): string {
  const rows = profiles.map(({ name, builtIn, resources, packages, description, problem }) => [
    name,
    builtIn ? 'built in' : 'own',
    resources?.cpu ? String(resources.cpu) : '',
    resources?.memory ?? '',
    resources?.disk ?? '',
    String(packages.length),
    problem ? `cannot be used: ${problem}` : description,
  ]);
  return table(['Name', 'From', 'CPU', 'Memory', 'Disk', 'Packages', 'Description'], rows);
}

/** The table of `vm-agent tasks`. */
export function taskTable(tasks: readonly Task[]): string {
  if (tasks.length === 0) return 'No tasks\n';
  const rows = tasks.map((task) => [
    task.id,
    task.agent || '(any)',
    task.spec?.type ?? '',
    task.stateReason ? `${task.state} (${task.stateReason})` : task.state,
    task.outcome?.exitCode === undefined ? (task.outcome?.signal ?? '') : String(task.outcome.exitCode),
    time(task.createTime),
  ]);
  return table(['Task', 'Agent', 'Type', 'State', 'Exit', 'Created'], rows);
}

/** One line about an event. */
export function eventLine({ time: at, type, agent, task, state, reason, message }: Event): string {
  const parts = [time(at), type, agent, task, state, reason, message];
  return `${safe(parts.filter((part) => part !== '').join('  '))}\n`;
}

function time(at: { readonly seconds: number; readonly nanos: number } | undefined): string {
  return at ? new Date(at.seconds * 1000 + at.nanos / 1e6).toISOString() : '';
}
