import { readdir, readFile, readlink } from 'node:fs/promises';

const LISTENING = '0A';

/** Who listens on a TCP port of this host, as far as this user may see. */
export interface PortHolder {
  readonly pid: number;
  readonly program: string;
}

/** Finds it in /proc; undefined where nobody is found, or nothing may be seen. */
export async function portHolder(port: number): Promise<PortHolder | undefined> {
  const inodes = await listeningInodes(port);
  if (inodes.size === 0) return undefined;
  const pids = (await readdir('/proc').catch(() => [])).filter((name) => /^\d+$/.test(name));
  for (const pid of pids) {
    if (!(await holdsAny(pid, inodes))) continue;
    const program = (await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => '')).trim();
    return { pid: Number(pid), program };
  }
  return undefined;
}

async function listeningInodes(port: number): Promise<ReadonlySet<string>> {
  const hex = port.toString(16).toUpperCase().padStart(4, '0');
  const tables = await Promise.all(
    ['/proc/net/tcp', '/proc/net/tcp6'].map((file) => readFile(file, 'utf8').catch(() => '')),
  );
  const rows = tables.flatMap((table) => table.split('\n').map((line) => line.trim().split(/\s+/)));
  const found = rows.filter((row) => row[1]?.endsWith(`:${hex}`) && row[3] === LISTENING);
  return new Set(found.map((row) => `socket:[${row[9]}]`));
}

async function holdsAny(pid: string, sockets: ReadonlySet<string>): Promise<boolean> {
  const files = await readdir(`/proc/${pid}/fd`).catch(() => []);
  for (const file of files) {
    const target = await readlink(`/proc/${pid}/fd/${file}`).catch(() => '');
    if (sockets.has(target)) return true;
  }
  return false;
}
