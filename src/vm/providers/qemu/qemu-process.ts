import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { listProcesses, type ProcessRow, readProcess } from '../../../base/process-table.js';
import { MARK } from './launcher.js';

/** By what the processes of a machine are known. */
export interface MachineIdentity {
  readonly uuid: string;
  /** Their user; absent when it is that of the hub, and thus of other processes too. */
  readonly uid?: number;
}

const TICKS_PER_SECOND = 100;

/**
 * The running QEMU of a machine. A pid file alone proves nothing: it may be old, or written by somebody who took over
 * the machine. What counts is the command line with the machine's own id, and the user.
 */
export async function findQemu(pidFile: string, identity: MachineIdentity): Promise<ProcessRow | undefined> {
  const pid = Number((await readFile(pidFile, 'utf8').catch(() => '')).trim());
  const row = Number.isInteger(pid) && pid > 0 ? await readProcess(pid) : undefined;
  if (row && (await isQemu(row, identity))) return row;
  return await first(await listProcesses(), (item) => isQemu(item, identity));
}

/** Everything that runs for a machine: QEMU, its relays, the network's program, the collector of the console. */
export async function processesOf(identity: MachineIdentity): Promise<readonly ProcessRow[]> {
  const all = await listProcesses();
  const ours = await Promise.all(
    all.map(async ({ pid }) => (await hasMark(pid, identity.uuid)) || (await hasUser(pid, identity.uid))),
  );
  return all.filter((_, i) => ours[i]);
}

/** Whether any process of this host has this user. */
export async function isUserTaken(uid: number): Promise<boolean> {
  return (await first(await listProcesses(), ({ pid }) => hasUser(pid, uid))) !== undefined;
}

/** What a process used so far, and holds now. */
export async function usageOf(pid: number): Promise<{ cpuSeconds: number; memoryBytes: number } | undefined> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const ticks = Number(fields[11]) + Number(fields[12]);
  const memory = /^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1];
  if (!Number.isFinite(ticks) || memory === undefined) return undefined;
  return { cpuSeconds: ticks / TICKS_PER_SECOND, memoryBytes: Number(memory) * 1024 };
}

async function isQemu({ pid }: ProcessRow, { uuid, uid }: MachineIdentity): Promise<boolean> {
  const words = (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).split('\0');
  const at = words.indexOf('-uuid');
  if (at < 0 || words[at + 1] !== uuid || !basename(words[0] ?? '').startsWith('qemu-system-')) return false;
  return uid === undefined || (await hasUser(pid, uid));
}

async function hasMark(pid: number, uuid: string): Promise<boolean> {
  const environment = await readFile(`/proc/${pid}/environ`, 'utf8').catch(() => '');
  return environment.split('\0').includes(`${MARK}=${uuid}`);
}

async function hasUser(pid: number, uid: number | undefined): Promise<boolean> {
  if (uid === undefined) return false;
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
  return new RegExp(`^Uid:\\s+${uid}\\s`, 'm').test(status);
}

async function first(
  rows: readonly ProcessRow[],
  isIt: (row: ProcessRow) => Promise<boolean>,
): Promise<ProcessRow | undefined> {
  const found = await Promise.all(rows.map(isIt));
  return rows.find((_, i) => found[i]);
}
