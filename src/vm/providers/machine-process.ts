import { readFile } from 'node:fs/promises';
import type { Clock } from '../../base/clock.js';
import { signalProcess } from '../../base/process.js';
import { descendantsOf, isSameProcess, listProcesses, type ProcessRow } from '../../base/process-table.js';
import { HubError } from '../../model/hub-error.js';

/** The first process of a running machine. It may be our child or that of a hub which is gone. */
export type MachineProcess = Pick<ProcessRow, 'pid' | 'startTicks'>;

const POLL_MS = 10;
/** Most time for SIGKILL and SIGSTOP to take effect. */
const SIGNAL_DEADLINE_MS = 10_000;

/**
 * The machine's first process if it runs. Only the very process that wrote the file counts, never a later one
 * with the same pid.
 */
export async function findMachineProcess(pidFile: string): Promise<MachineProcess | undefined> {
  const text = await readFile(pidFile, 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  const [pid, startTicks, boot] = text.trim().split(' ');
  const found = { pid: Number(pid), startTicks: Number(startTicks) };
  return boot === (await bootId()) && (await isSameProcess(found)) ? found : undefined;
}

/** Answers all processes of a machine as they are now, parents before children. */
export type Members = () => Promise<readonly ProcessRow[]>;

/**
 * All processes below the first one, and it; with `mark` also those that left the tree but have this entry
 * (`NAME=value`) in their environment.
 */
export async function membersOf(
  first: MachineProcess | undefined,
  mark?: string,
): Promise<readonly ProcessRow[]> {
  const all = await listProcesses();
  const top = all.find((row) => row.pid === first?.pid && row.startTicks === first.startTicks);
  const tree = top === undefined ? [] : [top, ...descendantsOf(top.pid, all)];
  if (mark === undefined) return tree;
  const marked = await Promise.all(all.map((row) => hasMark(row.pid, mark)));
  return [...new Set([...tree, ...all.filter((_, i) => marked[i])])];
}

/** Waits until these processes are gone; false when the time is over. */
export async function waitGone(
  rows: readonly MachineProcess[],
  options: { readonly deadlineMs: number; readonly clock: Clock; readonly signal: AbortSignal },
): Promise<boolean> {
  const { clock, signal } = options;
  const end = clock.monotonic() + options.deadlineMs;
  for (let left = rows; ; ) {
    const alive = await Promise.all(left.map(isSameProcess));
    left = left.filter((_, i) => alive[i]);
    if (left.length === 0) return true;
    if (clock.monotonic() >= end) return false;
    await clock.sleep(POLL_MS, signal);
  }
}

/** Sends a signal to those that are still the processes that were seen. */
export async function signalRows(rows: readonly MachineProcess[], signal: NodeJS.Signals): Promise<void> {
  for (const row of rows) if (await isSameProcess(row)) signalProcess(row.pid, signal);
}

/**
 * Ends all processes of a machine at once. They are stopped first, so that none can start another one meanwhile;
 * `more` are processes that may have left it since.
 *
 * @throws HubError VM_FAILED when one does not end.
 */
export async function killAll(
  members: Members,
  more: readonly ProcessRow[],
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  await freezeAll(members, clock, signal);
  const rows = [...(await members()), ...more].reverse();
  await signalRows(rows, 'SIGKILL');
  if (await waitGone(rows, { deadlineMs: SIGNAL_DEADLINE_MS, clock, signal })) return;
  throw new HubError('VM_FAILED', 'a process of the machine does not end after SIGKILL; try again');
}

/**
 * Stops (SIGSTOP) all processes of a machine and answers those that were running. Processes that were stopped
 * already stay out of it.
 *
 * @throws HubError VM_FAILED when one does not stop in time; those that did go on.
 */
export async function freezeAll(
  members: Members,
  clock: Clock,
  signal: AbortSignal,
): Promise<readonly ProcessRow[]> {
  const stopped = new Map<string, ProcessRow>();
  const end = clock.monotonic() + SIGNAL_DEADLINE_MS;
  try {
    for (;;) {
      const running = stillRunning(await members());
      if (running.length === 0) return [...stopped.values()];
      if (clock.monotonic() >= end) throw new HubError('VM_FAILED', 'a process of the machine does not stop');
      for (const row of running) stopped.set(`${row.pid} ${row.startTicks}`, row);
      await signalRows(running, 'SIGSTOP');
      await clock.sleep(1, signal);
    }
  } catch (err) {
    await thawRows([...stopped.values()]);
    throw err;
  }
}

/** Lets processes go on, children before parents, so that a shell never sees its job stopped. */
export async function thawRows(rows: readonly ProcessRow[]): Promise<void> {
  await signalRows([...rows].reverse(), 'SIGCONT');
}

/** Pids and start times begin anew when the host boots. */
async function bootId(): Promise<string> {
  return (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
}

/**
 * Those that neither stand still, nor are ending, nor wait for a child that stands still: while a child of vfork()
 * stands still before its exec, its parent is in state D and cannot take a signal. The first process of a namespace
 * that was killed waits until all in it were collected, for ever when a parent that would have to stands still.
 */
function stillRunning(rows: readonly ProcessRow[]): readonly ProcessRow[] {
  const isStopped = (row: ProcessRow) => 'Tt'.includes(row.state);
  const waiting = new Set(rows.filter(isStopped).map((row) => row.parent));
  const isWaiting = (row: ProcessRow) => row.state === 'D' && waiting.has(row.pid);
  return rows.filter((row) => !isStopped(row) && !row.exiting && !isWaiting(row));
}

async function hasMark(pid: number, mark: string): Promise<boolean> {
  const environment = await readFile(`/proc/${pid}/environ`, 'utf8').catch(() => '');
  return environment.split('\0').includes(mark);
}
