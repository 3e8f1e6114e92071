import { mkdtemp, readdir, readFile, symlink } from 'node:fs/promises';
import { availableParallelism, freemem, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { testImage } from '../test-image.js';
import { HubProcess } from './hub-process.js';
import { at, list } from './json-path.js';

/** Enough for what tests run. Emulation without a second processor takes twice as long. */
export const SMALL = ['--provider', 'qemu', '--cpu', '2', '--memory', '1G', '--disk', '8G'];
/** A boot takes some ten seconds by emulation, and much longer beside others. */
export const BOOT_MS = 300_000;
/** The first test of a machine's suite may have to build the image. */
export const BEFORE_MS = 15 * 60_000;

const GIB = 1024 ** 3;

/**
 * Starts a hub on a new home whose images are those that tests keep. Undefined, with one line that says why, where there can be no
 * virtual machines.
 */
export async function startMachineHub(prepare: Prepare = link): Promise<HubProcess | undefined> {
  const images = await testImage();
  if (images === undefined) return undefined;
  const home = await mkdtemp(join(tmpdir(), 'vm-agent-e2e-'));
  await prepare(home, images);
  const hub = await HubProcess.start({ home });
  const why = await whyNoMachines(hub);
  if (why === '') return hub;
  console.log(`SKIPPED: virtual machines by the built program: ${why}`);
  await hub.close();
  return undefined;
}

/** Creates a small machine; one that does not come says what it shows on its console. */
export async function createMachine(hub: HubProcess, name: string): Promise<void> {
  try {
    await hub.ok(['create', name, ...SMALL], { timeoutMs: BOOT_MS });
  } catch (err) {
    const { stdout } = await hub.cli(['logs', name, '--console']);
    throw new Error(`${err}; its console: ${stdout.slice(-4000)}`);
  }
}

/** Furnishes a home before its hub starts; `images` are those that tests keep. */
export type Prepare = (home: string, images: string) => Promise<void>;

const link: Prepare = (home, images) => symlink(images, join(home, 'images'));

async function whyNoMachines(hub: HubProcess): Promise<string> {
  const { stdout } = await hub.ok(['providers', '--json']);
  const rows = list({ rows: JSON.parse(stdout) }, 'rows');
  const qemu = rows.find((row) => at(row, 'name') === 'qemu');
  return at(qemu, 'available') === true ? '' : String(at(qemu, 'reason'));
}

/**
 * Resources that somebody asks for, as options of `create`; less only where this computer has less: its processors, and
 * a share of the memory that is free, for this many machines at once.
 */
export function fitting({ cpu, memory }: { cpu: number; memory: number }, machines = 1): string[] {
  const share = Math.floor(freemem() / GIB / 2 / machines);
  return [
    ...['--cpu', String(Math.min(cpu, availableParallelism()))],
    ...['--memory', `${Math.max(1, Math.min(memory, share))}G`],
  ];
}

/** What is known of a machine on the host. */
export interface HostMachine {
  readonly name: string;
  readonly uuid: string;
  /** User of its processes; undefined when they are those of the hub's. */
  readonly uid: number | undefined;
  /** Process of its QEMU; undefined when it does not run. */
  readonly qemu: number | undefined;
}

/** Looks at a machine from the host's side, without the hub. */
export async function hostMachine(hub: HubProcess, name: string): Promise<HostMachine> {
  const file = join(hub.home, 'qemu', 'machines', name, 'qemu-machine.json');
  const marker: unknown = JSON.parse(await readFile(file, 'utf8'));
  const uuid = String(at(marker, 'record.uuid'));
  const uid = at(marker, 'record.uid');
  const isQemu = (line: string) => line.startsWith('qemu-system-') && line.includes(uuid);
  const [qemu] = await processes(async (pid) => isQemu(await proc(pid, 'cmdline')));
  return { name, uuid, uid: typeof uid === 'number' ? uid : undefined, qemu };
}

/** Processes, files and mounts of machines that are gone; looks for five seconds, because the kernel takes its time. */
export async function leftOf(hub: HubProcess, machines: readonly HostMachine[]): Promise<string[]> {
  const names = machines.map(({ name }) => name);
  for (const end = Date.now() + 5_000; ; await sleep(100)) {
    const left = [...(await processesOf(machines)), ...(await filesLeft(hub, names))];
    if (left.length === 0 || Date.now() > end) return left;
  }
}

/** Files and mounts of machines with these names, and sockets of machines when there is none any more. */
export async function filesLeft({ home, output }: HubProcess, names: readonly string[]): Promise<string[]> {
  const dir = join(home, 'qemu', 'machines');
  const machines = await readdir(dir).catch(() => []);
  const [, run] = /^ *agents +unix:(\/.+)\/door\/hub\.sock$/m.exec(output) ?? [];
  const sockets = machines.length === 0 && run ? await readdir(join(run, 'vm')).catch(() => []) : [];
  const mounts = (await readFile('/proc/self/mounts', 'utf8')).split('\n');
  const places = names.map((name) => join(dir, name));
  return [
    ...machines.filter((name) => names.includes(name)),
    ...sockets,
    ...mounts.filter((line) => places.some((place) => line.includes(place))),
  ];
}

async function processesOf(machines: readonly HostMachine[]): Promise<string[]> {
  const pids = await processes(async (pid) => {
    const [words, environment, status] = await Promise.all(
      ['cmdline', 'environ', 'status'].map((file) => proc(pid, file)),
    );
    return machines.some(
      ({ uuid, uid }) =>
        `${words}${environment}`.includes(uuid) || new RegExp(`^Uid:\\s+${uid}\\s`, 'm').test(status ?? ''),
    );
  });
  return Promise.all(pids.map(async (pid) => `process ${pid}: ${await proc(pid, 'cmdline')}`));
}

async function processes(isIt: (pid: string) => Promise<boolean>): Promise<number[]> {
  const pids = (await readdir('/proc')).filter((entry) => /^\d+$/.test(entry));
  const found = await Promise.all(pids.map(isIt));
  return pids.filter((_, i) => found[i]).map(Number);
}

function proc(pid: string | number, file: string): Promise<string> {
  return readFile(`/proc/${pid}/${file}`, 'utf8').catch(() => '');
}

/** Hands in a task and answers its id. */
export async function post(hub: HubProcess, agent: string, body: object): Promise<string> {
  const answer = await hub.rest('POST', `/agents/${agent}/task`, body);
  if (answer.status !== 200) throw new Error(`the task was refused: ${answer.text}`);
  return String(answer.at('taskId'));
}

/** What a task wrote so far. */
export async function written(hub: HubProcess, task: string): Promise<string> {
  return (await hub.rest('GET', `/tasks/${task}/output?stream=stdout`)).text;
}

/** Resolves once something is so. */
export async function until(what: string, isSo: () => Promise<boolean>, limitMs = 60_000): Promise<void> {
  for (const end = Date.now() + limitMs; !(await isSo()); await sleep(100)) {
    if (Date.now() > end) throw new Error(`not within ${limitMs / 1000} s: ${what}`);
  }
}

/** Writes a file in a machine. */
export async function putFile(
  hub: HubProcess,
  agent: string,
  filePath: string,
  content: Buffer,
): Promise<void> {
  const base64 = { encoding: 'base64', content: content.toString('base64') };
  const ended = await hub.ended(await post(hub, agent, { type: 'file:write', filePath, ...base64 }));
  if (at(ended, 'state') !== 'SUCCEEDED') throw new Error(`not written: ${JSON.stringify(ended)}`);
}
