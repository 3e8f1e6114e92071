import { accessSync, constants, statSync } from 'node:fs';
import { delimiter, join, resolve } from 'node:path';
import { messageOf } from '../../base/errno.js';
import type { SpecBase } from '../../model/task.js';
import type { StopKind } from '../stop.js';
import { type ProcessEnd, runTaskProcess } from '../task-process.js';
import { environmentOf } from '../task-user.js';
import { type Ending, type ExecutorContext, TaskFailure } from './executor.js';

const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** The working directory of a task; relative to the agent's home. */
export function workingDirectory(ctx: ExecutorContext, spec: SpecBase): string {
  const path = resolve(ctx.home, spec.cwd ?? '.');
  if (kindOf(path) === 'directory') return path;
  throw new TaskFailure('CWD_NOT_FOUND', `the working directory ${path} is not there, or is not a directory`);
}

/** The environment of a task: that of its user or of the agent, the task's, its secrets. */
export function taskEnv(ctx: ExecutorContext, spec: SpecBase): Record<string, string> {
  const base = ctx.user === undefined ? ctx.baseEnv : environmentOf(ctx.user);
  return { PATH: DEFAULT_PATH, ...base, HOME: ctx.home, ...spec.env, ...spec.secrets };
}

/**
 * Runs a program for a task, through sudo when it asks for that, and answers how the attempt ends.
 *
 * @throws TaskFailure CWD_NOT_FOUND, SPAWN_ENOENT, SPAWN_EACCES, SPAWN_FAILED, SUDO_NOT_ALLOWED before anything is started.
 */
export async function runArgv(
  ctx: ExecutorContext,
  spec: SpecBase,
  argv: readonly string[],
  extraEnv: Readonly<Record<string, string>> = {},
): Promise<Ending> {
  const cwd = workingDirectory(ctx, spec);
  const env = { ...taskEnv(ctx, spec), ...extraEnv };
  const line = spec.sudo ? sudoArgv(ctx, argv, Object.keys({ ...spec.env, ...spec.secrets })) : argv;
  checkProgram(line[0] ?? '', cwd, env.PATH ?? DEFAULT_PATH);
  const { user } = ctx;
  const request = { argv: line, cwd, env, ...(user === undefined ? {} : { user }) };
  const end = await runTaskProcess(ctx.process, request).catch(cannotStart);
  return endingOf(end, ctx.process.stop.kind);
}

/** The ending of a process; what the agent did to it comes first. */
export function endingOf(end: ProcessEnd, stopped: StopKind | undefined): Ending {
  const { exitCode, signal, killed, outOfMemory } = end;
  const how = {
    ...(exitCode === undefined ? {} : { exitCode }),
    ...(signal === undefined ? {} : { signal }),
    killed,
  };
  if (killed && stopped === 'TIMEOUT')
    return { state: 'TIMED_OUT', reason: 'TIMEOUT', message: 'it ran longer than its time limit', ...how };
  if (killed && stopped !== undefined) return { state: 'CANCELLED', reason: stopped, ...how };
  if (outOfMemory && exitCode !== 0)
    return { state: 'FAILED', reason: 'OOM', message: 'the kernel killed of it for want of memory', ...how };
  if (signal !== undefined)
    return { state: 'FAILED', reason: 'SIGNALLED', message: `ended by ${signal}`, ...how };
  return { state: exitCode === 0 ? 'SUCCEEDED' : 'FAILED', reason: 'EXITED', ...how };
}

/** What the kernel refuses, such as too long a command line (E2BIG), is the task's failure. */
function cannotStart(err: unknown): never {
  const { syscall } = err as NodeJS.ErrnoException;
  throw syscall?.startsWith('spawn') ? new TaskFailure('SPAWN_FAILED', messageOf(err)) : err;
}

function sudoArgv(
  ctx: ExecutorContext,
  argv: readonly string[],
  names: readonly string[],
): readonly string[] {
  if (!ctx.allowSudo) throw new TaskFailure('SUDO_NOT_ALLOWED', 'this agent does not let tasks use sudo');
  if (ctx.uid === 0) return argv;
  const keep = names.filter((name) => /^[A-Za-z_][A-Za-z0-9_]*$/.test(name));
  return ['sudo', '-n', ...(keep.length > 0 ? [`--preserve-env=${keep.join(',')}`] : []), '--', ...argv];
}

/** Tells a program that is missing from one that may not be run, before a wrapper hides the difference. */
function checkProgram(file: string, cwd: string, path: string): void {
  const places = file.includes('/')
    ? [resolve(cwd, file)]
    : path.split(delimiter).map((dir) => join(resolve(cwd, dir), file));
  const there = places.filter((place) => kindOf(place) !== undefined);
  if (there.some((place) => kindOf(place) === 'file' && isExecutable(place))) return;
  if (there.length > 0) throw new TaskFailure('SPAWN_EACCES', `${file} may not be executed`, 126);
  throw new TaskFailure('SPAWN_ENOENT', `the program ${file} was not found`, 127);
}

function kindOf(path: string): 'file' | 'directory' | 'other' | undefined {
  try {
    const stat = statSync(path);
    if (stat.isDirectory()) return 'directory';
    return stat.isFile() ? 'file' : 'other';
  } catch {
    return undefined;
  }
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
