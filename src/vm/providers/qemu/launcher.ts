import type { ChildProcess, StdioOptions } from 'node:child_process';
import { open } from 'node:fs/promises';
import type { Readable, Writable } from 'node:stream';
import { untilAborted } from '../../../base/abort.js';
import { readTail } from '../../../base/files.js';
import { start } from '../../../base/process.js';
import { QEMU, TOOL_ENV } from './host.js';
import { INNER_SCRIPT, LAUNCH_SCRIPT, MOUNT_SCRIPT } from './scripts.js';

/** What {@link launchQemu} starts. */
export interface LaunchPlan {
  /** In the environment of every process of the machine. */
  readonly mark: string;
  /** Directory that the console is collected in; the machine's own. */
  readonly vmDir: string;
  /** File for the words of the launcher, opened by this process. */
  readonly log: string;
  /** User and group of all processes; absent for those of this process. */
  readonly uid?: number;
  /** Group that may open `/dev/kvm`. */
  readonly group?: number;
  /** Pairs of directory and name below the view; absent where there are no namespaces. */
  readonly mounts?: readonly (readonly [source: string, name: string])[];
  readonly network: 'internet' | 'isolated';
  /** Addresses that a machine with a network must not reach. */
  readonly closed: readonly string[];
  /** QEMU's arguments. */
  readonly qemu: readonly string[];
}

/** Name of the variable that marks the processes of a machine. */
export const MARK = 'VM_AGENT_MACHINE';
/** The descriptor that QEMU writes the console to. */
export const CONSOLE_FD = 8;
const LOG_BYTES = 2000;

const NO_RIGHTS = ['--no-new-privs', '--inh-caps=-all', '--bounding-set=-all'];
const NAMESPACES = ['unshare', '--user', '--map-root-user', '--net'];

/** The whole command line. Only constants are scripts; all values are arguments. */
export function launchCommand(plan: LaunchPlan): readonly string[] {
  const uid = plan.uid === undefined ? '-' : String(plan.uid);
  return ['sh', '-c', LAUNCH_SCRIPT, 'vm-agent-launch', uid, plan.network, ...machineCommand(plan)];
}

/**
 * As root the mounts come first, while everything can still be read, and then the user; an ordinary user may only
 * mount in a user namespace.
 */
function machineCommand({ uid, group, mounts, ...plan }: LaunchPlan): readonly string[] {
  const { closed, qemu, network } = plan;
  const routes = mounts === undefined || network === 'isolated' ? [] : closed;
  const whose = mounts === undefined ? 'host' : 'own';
  const inner = ['sh', '-c', INNER_SCRIPT, 'vm-agent-inner', whose, ...routes, '--'];
  if (mounts === undefined) return [...inner, QEMU, ...qemu];
  const bare = ['setpriv', ...NO_RIGHTS, '--', QEMU, ...qemu];
  const view = ['sh', '-c', MOUNT_SCRIPT, 'vm-agent-mounts', ...mounts.flat(), '--'];
  const mount = ['--mount', '--propagation', 'private', '--'];
  if (uid === undefined) return [...NAMESPACES, ...mount, ...view, ...inner, ...bare];
  const groups = group === undefined ? ['--clear-groups'] : [`--groups=${group}`];
  const user = ['setpriv', `--reuid=${uid}`, `--regid=${uid}`, ...groups, ...NO_RIGHTS, '--'];
  return ['unshare', ...mount, ...view, ...user, ...NAMESPACES, '--', ...inner, ...bare];
}

/**
 * Starts a machine that outlives this process, and resolves once QEMU is up. When it fails or is aborted, processes
 * may be left: whoever calls ends those with the mark.
 *
 * @throws Error with the last words of the launcher; the signal's reason when aborted.
 */
export async function launchQemu(plan: LaunchPlan, signal: AbortSignal): Promise<void> {
  const [file = '', ...args] = launchCommand(plan);
  const log = await open(plan.log, 'w', 0o600);
  try {
    const stdio: StdioOptions = ['ignore', log.fd, log.fd, 'pipe', 'pipe', 'pipe'];
    const env = { ...TOOL_ENV, [MARK]: plan.mark };
    const child = start(file, args, { cwd: plan.vmDir, env, detached: true, stdio });
    child.unref();
    await untilAborted(upOrEnded(child, plan), signal);
  } finally {
    await log.close();
  }
}

async function upOrEnded(child: ChildProcess, { network, mounts, log }: LaunchPlan): Promise<void> {
  const [ready, go, ended] = child.stdio.slice(3) as [Readable, Writable, Readable];
  go.on('error', () => {});
  const failed = new Promise<never>((_, reject) => child.once('error', reject));
  try {
    const code = firstData(ended);
    if (network === 'internet' && mounts !== undefined) {
      const up = await Promise.race([firstData(ready), code, failed]);
      if (up !== '1') throw new Error('the network of the machine did not come up');
    }
    go.end('go\n');
    const answer = (await Promise.race([code, failed])).trim();
    if (answer !== '0') throw new Error(answer ? `QEMU ended with code ${answer}` : 'QEMU was not started');
  } catch (err) {
    const words = (await readTail(log, LOG_BYTES)).trim();
    throw new Error(`${err instanceof Error ? err.message : err}${words && `: ${words}`}`, { cause: err });
  } finally {
    for (const pipe of [ready, go, ended]) pipe.destroy();
  }
}

/** The first words that come, or an empty text when there are none. */
function firstData(stream: Readable): Promise<string> {
  return new Promise((resolve) => {
    stream.once('data', (data: Buffer) => resolve(data.toString('latin1')));
    stream.once('end', () => resolve(''));
    stream.once('error', () => resolve(''));
    stream.once('close', () => resolve(''));
  });
}
