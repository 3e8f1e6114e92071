import type { Event, Provider, Snapshot, Task } from '../../src/client/index.js';
import { safe } from './errors.js';
import { table } from './table.js';

/** The table of `vm-agent snapshots`. */
export function snapshotTable(snapshots: readonly Snapshot[]): string {
  const rows = snapshots.map(({ name, createTime, sizeBytes, live, description }) => [
    name,
    time(createTime),
    `${(sizeBytes / 2 ** 20).toFixed(1)} MiB`,
    live ? 'memory and disk' : 'disk',
    description,
  ]);
  return table(['Name', 'Created', 'Size', 'Holds', 'Description'], rows);
}

/** The table of `vm-agent providers`. */
export function providerTable(providers: readonly Provider[]): string {
  const rows = providers.map(({ name, available, isDefault, isolation, capabilities, reason }) => [
    isDefault ? `${name} (default)` : name,
    available ? 'yes' : 'no',
    isolation?.kind ?? '',
    capabilities.join(','),
    reason,
  ]);
  return table(['Name', 'Available', 'Isolation', 'Capabilities', 'Reason'], rows);
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
