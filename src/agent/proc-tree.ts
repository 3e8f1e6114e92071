import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { signalProcess } from '../base/process.js';

/** Name of the environment variable that marks every process of an attempt. */
export const RUN_MARK = 'VM_AGENT_RUN';

/** All processes that the kernel shows; none where there is no /proc. */
function allPids(): readonly number[] {
  try {
    return readdirSync('/proc')
      .map(Number)
      .filter((pid) => Number.isInteger(pid) && pid > 1);
  } catch {
    return [];
  }
}

/** The PID namespace of a process; undefined when it is gone or not ours to see. */
export function pidNamespace(pid: number): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/ns/pid`);
  } catch {
    return undefined;
  }
}

/** Processes that live in a PID namespace, seen from outside. */
export function pidsInNamespace(namespace: string): readonly number[] {
  return allPids().filter((pid) => pidNamespace(pid) === namespace);
}

/** Fields of a process behind its name: state, parent, process group, ... ; none when it is gone. */
function statFields(pid: number): readonly string[] {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  } catch {
    return [];
  }
}

/** Whether a process is there and not a zombie. */
export function isRunning(pid: number): boolean {
  const state = statFields(pid)[0];
  return state !== undefined && state !== 'Z';
}

/**
 * Those of some processes that still move. One that waits for a child of vfork() that stands still before its exec
 * (state D) does not move either, and takes no signal until then.
 */
export function movingOf(pids: readonly number[]): readonly number[] {
  const rows = pids.map((pid) => {
    const [state, parent] = statFields(pid);
    return { pid, state, parent: Number(parent) };
  });
  const awaited = new Set(
    rows.filter(({ state }) => state === 'T' || state === 't').map(({ parent }) => parent),
  );
  const stands = ({ pid, state }: (typeof rows)[number]) =>
    state === undefined || 'TtZ'.includes(state) || (state === 'D' && awaited.has(pid));
  return rows.filter((row) => !stands(row)).map(({ pid }) => pid);
}

/** Processes of a process group. */
export function pidsInGroup(leader: number): readonly number[] {
  return allPids().filter((pid) => processGroup(pid) === leader);
}

/** The process group of a process; undefined when it is gone. */
export function processGroup(pid: number): number | undefined {
  const group = Number(statFields(pid)[2]);
  return Number.isInteger(group) ? group : undefined;
}

/** Processes whose environment, as they were started, carries this mark or one that begins with it. */
export function pidsWithMark(markPrefix: string, except: ReadonlySet<string> = new Set()): readonly number[] {
  return allPids().filter((pid) => {
    const mark = markOf(pid);
    return mark?.startsWith(markPrefix) === true && !except.has(mark);
  });
}

function markOf(pid: number): string | undefined {
  const begin = `${RUN_MARK}=`;
  try {
    const entries = readFileSync(`/proc/${pid}/environ`, 'latin1').split('\0');
    return entries.find((entry) => entry.startsWith(begin))?.slice(begin.length);
  } catch {
    return undefined;
  }
}

/**
 * Kills all processes that carry a mark, also those that fork meanwhile; not those with exactly one of the marks
 * in `except`. Answers how many were found at first.
 */
export function killMarked(markPrefix: string, except?: ReadonlySet<string>): number {
  const first = pidsWithMark(markPrefix, except);
  for (let pids = first, round = 0; pids.length > 0 && round < 10; round += 1) {
    for (const pid of pids) signalProcess(pid, 'SIGKILL');
    pids = pidsWithMark(markPrefix, except).filter(isRunning);
  }
  return first.length;
}
