import { readdir, readFile, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** Processes whose command line, environment or mounts name this path. */
export async function processesNaming(path: string): Promise<number[]> {
  const found: number[] = [];
  for (const pid of await readdir('/proc').catch(() => [])) {
    if (!/^\d+$/.test(pid) || Number(pid) === process.pid) continue;
    const texts = await Promise.all(
      ['cmdline', 'environ', 'mountinfo'].map((name) =>
        readFile(`/proc/${pid}/${name}`, 'utf8').catch(() => ''),
      ),
    );
    if (texts.some((text) => text.includes(path))) found.push(Number(pid));
  }
  return found;
}

async function describe(pid: number): Promise<string> {
  const cmdline = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
  return `${pid} ${cmdline.replaceAll('\0', ' ').trim().slice(0, 200)}`;
}

async function mountsOf(path: string): Promise<string[]> {
  const mounts = await readFile('/proc/self/mounts', 'utf8').catch(() => '');
  return mounts.split('\n').filter((line) => line.includes(path));
}

/** Fails when processes or mounts of a home are still there five seconds after its hub ended. */
export async function expectNothingLeft(home: string): Promise<void> {
  const deadline = Date.now() + 5_000;
  for (;;) {
    const left = [
      ...(await Promise.all((await processesNaming(home)).map(describe))),
      ...(await mountsOf(home)),
    ];
    if (left.length === 0) return;
    if (Date.now() > deadline) throw new Error(`left behind by the hub of ${home}:\n${left.join('\n')}`);
    await sleep(50);
  }
}

/** Removes the directory of a hub's sockets, which the hub keeps for its machines. `output` is what the hub printed. */
export async function removeSockets(output: string): Promise<void> {
  const [, door] = /^ *agents +unix:(\/.+\/vm-agent-\d+\/[0-9a-f]{12}\/door)\/hub\.sock$/m.exec(output) ?? [];
  if (door !== undefined) await rm(dirname(door), { recursive: true, force: true });
}
