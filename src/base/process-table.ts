import { readdir, readFile } from 'node:fs/promises';

/** One process, told apart from a later one with the same pid by its start time. */
export interface ProcessRow {
  readonly pid: number;
  readonly parent: number;
  /** State letter of the kernel, such as `R`, `S`, `T` (stopped) or `Z` (dead, not yet collected). */
  readonly state: string;
  /** It has been killed, and waits for others before it is dead: it takes no signal any more. */
  readonly exiting: boolean;
  /** Clock ticks since the host booted. */
  readonly startTicks: number;
}

/** Flag of the kernel for a process that is shutting down (PF_EXITING). */
const EXITING = 0x4;

/** Reads one process; undefined when it is gone or dead. Linux only (reads /proc). */
export async function readProcess(pid: number): Promise<ProcessRow | undefined> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined);
  const row = text === undefined ? undefined : parseStat(pid, text);
  return row && 'ZXx'.includes(row.state) ? undefined : row;
}

/** All processes that this host shows and that are not dead. */
export async function listProcesses(): Promise<readonly ProcessRow[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);
  const rows = await Promise.all(pids.map(readProcess));
  return rows.filter((row) => row !== undefined);
}

/** Everything below a process in the tree, parents before children, without the process itself. */
export function descendantsOf(pid: number, rows: readonly ProcessRow[]): readonly ProcessRow[] {
  const children = new Map<number, ProcessRow[]>();
  for (const row of rows) children.set(row.parent, [...(children.get(row.parent) ?? []), row]);
  const found: ProcessRow[] = [];
  const waiting = [pid];
  for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
    const below = children.get(next) ?? [];
    found.push(...below);
    waiting.push(...below.map((row) => row.pid));
  }
  return found;
}

/** Whether this very process still lives. */
export async function isSameProcess(row: Pick<ProcessRow, 'pid' | 'startTicks'>): Promise<boolean> {
  return (await readProcess(row.pid))?.startTicks === row.startTicks;
}

/** The name in parentheses may hold anything, so fields count from the last parenthesis. */
function parseStat(pid: number, text: string): ProcessRow | undefined {
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const [state, parent, startTicks] = [fields[0], Number(fields[1]), Number(fields[19])];
  const exiting = (Number(fields[6]) & EXITING) !== 0;
  return state && Number.isFinite(startTicks) ? { pid, parent, state, exiting, startTicks } : undefined;
}
