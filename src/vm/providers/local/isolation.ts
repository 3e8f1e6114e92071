import { messageOf } from '../../../base/errno.js';
import { run } from '../../../base/process.js';
import type { VmIsolation } from '../../../model/vm.js';
import type { PrivatePath } from './mount-plan.js';

/** How far this host lets us isolate a machine. */
export type IsolationMode = 'root-namespaces' | 'user-namespaces' | 'directory';

const NAMESPACES = ['--mount', '--pid', '--fork', '--kill-child', '--mount-proc'] as const;
const OWN_USER = ['--user', '--map-root-user'] as const;

/** What must work in a new namespace, on paths that every host has. */
const PROBE = 'mount --rbind /tmp /mnt && mount -o remount,bind,ro /mnt && cd /proc/1';

/** Result of {@link probeIsolation}. */
export interface Probe {
  readonly mode: IsolationMode;
  /** Why there are no namespaces; empty when there are. */
  readonly reason: string;
}

/** Tries what the host allows, the best first. */
export async function probeIsolation(signal: AbortSignal): Promise<Probe> {
  const asRoot = await tryUnshare([...NAMESPACES], signal);
  if (asRoot === '') return { mode: 'root-namespaces', reason: '' };
  const asUser = await tryUnshare([...OWN_USER, ...NAMESPACES], signal);
  if (asUser === '') return { mode: 'user-namespaces', reason: '' };
  return { mode: 'directory', reason: asUser };
}

/** Program and arguments that start a program inside new namespaces of a machine; empty without them. */
export function namespacePrefix(mode: IsolationMode): readonly string[] {
  if (mode === 'directory') return [];
  return ['unshare', ...(mode === 'user-namespaces' ? OWN_USER : []), ...NAMESPACES, '--'];
}

/** Program and arguments that start a program with the rights that a machine has on its own files. */
export function filePrefix(mode: IsolationMode): readonly string[] {
  return mode === 'user-namespaces' ? ['unshare', ...OWN_USER, '--'] : [];
}

/** What is said of the isolation to people. */
export function describeIsolation(probe: Probe, privatePaths: readonly PrivatePath[]): VmIsolation {
  const base = { securityBoundary: false, notEnforced: ['cpu', 'memory', 'disk'] as const };
  const common = [
    'The network is that of the host.',
    'This is not a security boundary: run only what may run on this host.',
    'Tasks may use sudo only when the agent was created with --allow-host-sudo, because root is that of the host.',
  ];
  if (probe.mode !== 'directory') {
    const own = privatePaths.map(({ target }) => target).sort();
    return { ...base, kind: 'namespaces', privatePaths: own, notes: common };
  }
  const notes = [
    `This host allows no namespaces (${probe.reason}): the machine is a directory and a group of processes.`,
    'Only the home is private and part of snapshots; absolute paths such as /opt, /srv and /tmp are those of the host.',
    'A process that leaves the process tree of the agent and changes its HOME is not stopped with the machine.',
  ];
  return { ...base, kind: 'directory', privatePaths: ['~'], notes: [...notes, ...common] };
}

/** Empty when it works, else why not. */
async function tryUnshare(options: readonly string[], signal: AbortSignal): Promise<string> {
  try {
    const result = await run('unshare', [...options, '--', 'sh', '-c', PROBE], { signal, timeoutMs: 5000 });
    return result.code === 0 ? '' : result.stderr.trim().slice(0, 300) || `unshare ended with ${result.code}`;
  } catch (err) {
    signal.throwIfAborted();
    return messageOf(err);
  }
}
