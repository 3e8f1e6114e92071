import type { ChildProcess, StdioOptions } from 'node:child_process';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { untilAborted } from '../../../base/abort.js';
import { systemClock } from '../../../base/clock.js';
import { start } from '../../../base/process.js';
import { readProcess } from '../../../base/process-table.js';
import { killAll, membersOf } from '../machine-process.js';
import type { MachinePaths } from './machine-files.js';
import type { MountStep } from './mount-plan.js';
import { INIT_SCRIPT, LAUNCH_SCRIPT, MOUNT_SCRIPT } from './scripts.js';

/** Most time for ending a launcher that failed. */
const CLEANUP_MS = 20_000;

/** What the launcher starts. */
export interface LaunchPlan {
  readonly paths: MachinePaths;
  /** Program and arguments that make the namespaces; empty for none. */
  readonly namespaces: readonly string[];
  /** Mounts, only with namespaces. */
  readonly mounts: readonly MountStep[];
  /** Directory of the console as the machine sees it. */
  readonly consoleDir: string;
  /** The agent and its arguments. */
  readonly program: readonly string[];
  /** The whole environment of the machine. */
  readonly env: Readonly<Record<string, string>>;
  /** Working directory where there are no mounts. */
  readonly cwd: string;
}

/** The whole command line of a machine. Only constants are scripts; all values are arguments. */
export function launchCommand(plan: LaunchPlan): readonly string[] {
  const init = ['sh', '-c', INIT_SCRIPT, 'vm-agent-machine', plan.consoleDir, ...plan.program];
  const mount = ['sh', '-c', MOUNT_SCRIPT, 'vm-agent-mounts', ...plan.mounts.flat(), '--'];
  const inside = plan.namespaces.length === 0 ? init : [...plan.namespaces, ...mount, ...init];
  return ['sh', '-c', LAUNCH_SCRIPT, 'vm-agent-launch', plan.paths.pidFile, ...inside];
}

/**
 * Starts a machine that outlives this process, and resolves once its agent was started.
 *
 * @throws Error when it ends before, with the last words of the launcher; the signal's reason when aborted.
 */
export async function launchMachine(plan: LaunchPlan, signal: AbortSignal): Promise<void> {
  const [file = '', ...args] = launchCommand(plan);
  const log = await open(launchLog(plan.paths), 'w', 0o600);
  try {
    const stdio: StdioOptions = ['ignore', log.fd, log.fd, 'pipe'];
    const child = start(file, args, { cwd: plan.cwd, env: plan.env, detached: true, stdio });
    child.unref();
    await untilAborted(upOrEnded(child), signal).catch((err) => endFailed(child, err));
  } finally {
    await log.close();
  }
}

/** The words of a launcher that failed. */
export function launchLog(paths: MachinePaths): string {
  return join(paths.dir, 'launch.log');
}

async function endFailed(child: ChildProcess, err: unknown): Promise<never> {
  const row = child.pid === undefined ? undefined : await readProcess(child.pid);
  if (row) await killAll(() => membersOf(row), [], systemClock, AbortSignal.timeout(CLEANUP_MS));
  throw err;
}

/** Descriptor 3 says `up`, or closes when the launcher fails. */
function upOrEnded(child: ChildProcess): Promise<void> {
  const pipe = child.stdio[3] as Readable;
  return new Promise<void>((resolve, reject) => {
    child.once('error', reject);
    pipe.once('data', () => resolve());
    pipe.once('end', () => reject(new Error('the machine ended before its agent was started')));
    pipe.once('error', reject);
  }).finally(() => pipe.destroy());
}
