import { readdir, readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';

/** Processes whose command line or environment names this path. */
async function processesOf(path: string): Promise<string[]> {
  const found: string[] = [];
  for (const pid of await readdir('/proc').catch(() => [])) {
    if (!/^\d+$/.test(pid) || Number(pid) === process.pid) continue;
    const [cmdline, environ] = await Promise.all(
      ['cmdline', 'environ'].map((name) => readFile(`/proc/${pid}/${name}`, 'utf8').catch(() => '')),
    );
    if (`${cmdline}\0${environ}`.includes(path)) {
      found.push(`${pid} ${(cmdline ?? '').replaceAll('\0', ' ').trim().slice(0, 200)}`);
    }
  }
  return found;
}

async function mountsOf(path: string): Promise<string[]> {
  const mounts = await readFile('/proc/self/mounts', 'utf8').catch(() => '');
  return mounts.split('\n').filter((line) => line.includes(path));
}

/** Fails when processes or mounts of a home are still there five seconds after its hub ended. */
export async function expectNothingLeft(home: string): Promise<void> {
  const deadline = Date.now() + 5_000;
  for (;;) {
    const left = [...(await processesOf(home)), ...(await mountsOf(home))];
    if (left.length === 0) return;
    if (Date.now() > deadline) throw new Error(`left behind by the hub of ${home}:\n${left.join('\n')}`);
    await sleep(50);
  }
}
