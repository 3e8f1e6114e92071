import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readdir, readFile, readlink, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../src/base/clock.js';
import { deferred } from '../../src/base/deferred.js';
import { silentLogger } from '../../src/base/logger.js';
import { makeExt4 } from '../../src/vm/guest/ext4.js';
import { ImageStore } from '../../src/vm/images/image-store.js';
import {
  createQemuProvider,
  type QemuProvider,
  type QemuProviderOptions,
} from '../../src/vm/providers/qemu/qemu-provider.js';
import type { ProviderHarness } from '../contract/vm-provider-suite.js';
import type { Ran } from './stand-in-agent.js';
import { STAND_IN_GUEST, STAND_IN_INITRD } from './stand-in-guest.js';
import { testImage } from './test-image.js';

/** A harness with what a test of this provider alone may look at. */
export interface QemuHarness extends ProviderHarness {
  readonly provider: QemuProvider;
  readonly dir: string;
  readonly doorSocket: string;
  readonly machinesDir: string;
}

/** Options of {@link qemuHarness}. */
export interface QemuHarnessOptions {
  /** Directory to make everything in. Default that for temporary files. */
  readonly parent?: string;
  /** See {@link QemuProviderOptions.roomBytes}. */
  readonly roomBytes?: number;
}

/** How long a machine may take until its stand-in dials. Emulated processors are slow. */
const DIAL_MS = 60_000;
const COMMAND_MS = 120_000;
/** What the first harness found out takes seconds, and stays true. */
let acceleration: string | undefined;

/** The images that tests boot; undefined, after one line that says why, where machines of QEMU cannot be tested. */
export async function qemuImages(): Promise<string | undefined> {
  const missing = ['qemu-system-x86_64', 'qemu-img', 'socat', 'mke2fs'].filter((tool) => !isThere(tool));
  if (missing.length === 0) return testImage();
  console.warn(`SKIPPED: everything that needs real machines of QEMU: ${missing.join(', ')} missing`);
  return undefined;
}

function isThere(tool: string): boolean {
  const { status } = spawnSync('sh', ['-c', 'PATH="$PATH:/usr/sbin:/sbin" command -v "$1"', 'sh', tool]);
  return status === 0;
}

/** The door of the harness: stand-ins dial it, say who they are, and run what they are told. */
class StandInDoor {
  private readonly guests = new Map<string, Guest>();
  private readonly changed = new Set<() => void>();

  private constructor(
    private readonly server: Server,
    private readonly sockets: Set<Socket>,
  ) {}

  static async listen(path: string): Promise<StandInDoor> {
    const sockets = new Set<Socket>();
    const server = createServer();
    const door = new StandInDoor(server, sockets);
    server.on('connection', (socket) => {
      sockets.add(socket);
      socket.on('error', () => {}).on('close', () => sockets.delete(socket));
      new Guest(socket, (name, guest) => {
        door.guests.set(name, guest);
        for (const tell of door.changed) tell();
      });
    });
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(path, resolve);
    });
    return door;
  }

  /** Runs a command line in a machine of this generation or a later one; waits until its stand-in dials. */
  async exec(name: string, generation: number, command: string): Promise<Ran> {
    const guest = await this.guest(name, generation);
    return guest.run(command);
  }

  close(): void {
    for (const socket of this.sockets) socket.destroy();
    this.server.close();
  }

  private async guest(name: string, generation: number): Promise<Guest> {
    const isIt = () => {
      const guest = this.guests.get(name);
      return guest?.isOpen && guest.generation >= generation ? guest : undefined;
    };
    const end = systemClock.monotonic() + DIAL_MS;
    for (;;) {
      const guest = isIt();
      if (guest !== undefined) return guest;
      if (systemClock.monotonic() > end) throw new Error(`${name} did not dial within ${DIAL_MS / 1000} s`);
      const bell = deferred();
      const tell = () => bell.resolve();
      this.changed.add(tell);
      await Promise.race([bell.promise, systemClock.sleep(1000)]);
      this.changed.delete(tell);
    }
  }
}

/** One connection of a stand-in. */
class Guest {
  generation = 0;
  private text = '';
  private answer: ((line: string) => void) | undefined;

  constructor(
    private readonly socket: Socket,
    onHello: (name: string, guest: Guest) => void,
  ) {
    socket.setEncoding('utf8').on('data', (data: string) => {
      this.text += data;
      for (let at = this.text.indexOf('\n'); at >= 0; at = this.text.indexOf('\n')) {
        const line = this.text.slice(0, at);
        this.text = this.text.slice(at + 1);
        if (this.generation === 0) {
          const [name = '', generation] = line.split(' ');
          this.generation = Number(generation);
          onHello(name, this);
        } else this.answer?.(line);
      }
    });
  }

  get isOpen(): boolean {
    return !this.socket.destroyed && this.socket.readable;
  }

  run(command: string): Promise<Ran> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.socket.destroy(new Error(`no answer to: ${command}`)), COMMAND_MS);
      const lost = () => reject(new Error(`the machine went away during: ${command}`));
      this.socket.once('close', lost);
      this.answer = (line) => {
        clearTimeout(timer);
        this.socket.off('close', lost);
        const [code = '', output = ''] = line.split(' ');
        resolve({ code: Number(code), output: Buffer.from(output, 'base64').toString() });
      };
      this.socket.write(`${Buffer.from(command).toString('base64')}\n`);
    });
  }
}

/** A runtime disk with the stand-in in the place of the agent. */
async function standInDisk(dir: string): Promise<string> {
  const tree = join(dir, 'tree');
  await mkdir(join(tree, 'boot'), { recursive: true });
  await writeFile(join(tree, 'boot', 'initrd.sh'), STAND_IN_INITRD);
  await writeFile(join(tree, 'stand-in'), STAND_IN_GUEST);
  const disk = join(dir, 'runtime');
  await mkdir(disk);
  const file = join(disk, 'stand-in.ext4');
  await makeExt4({ tree, file, label: 'stand-in' }, AbortSignal.timeout(60_000));
  return file;
}

/** Makes a provider of real machines in a temporary directory, with the stand-in as their agent. */
export async function qemuHarness(more: QemuHarnessOptions = {}): Promise<QemuHarness> {
  const images = await testImage();
  if (images === undefined) throw new Error('there are no images; ask qemuImages first');
  const dir = await mkdtemp(join(more.parent ?? tmpdir(), 'vmq-'));
  const doorSocket = join(dir, 'door', 's');
  await mkdir(join(dir, 'door'));
  const door = await StandInDoor.listen(doorSocket);
  await chmod(join(dir, 'door'), 0o711);
  await chmod(doorSocket, 0o666);
  const runtime = await standInDisk(dir);
  const proof = join(dir, 'qemu', 'acceleration.json');
  await mkdir(join(dir, 'qemu'));
  if (acceleration !== undefined) await writeFile(proof, acceleration);
  const uid = process.getuid?.();
  const options: QemuProviderOptions = {
    dir: join(dir, 'qemu'),
    runDir: join(dir, 'r'),
    doorSocket,
    images: new ImageStore(images),
    runtimeDisk: async () => runtime,
    log: silentLogger,
    watchMs: 200,
    ...(uid === undefined ? {} : { uid }),
    ...(more.roomBytes === undefined ? {} : { roomBytes: more.roomBytes }),
  };
  const machinesDir = join(dir, 'qemu', 'machines');
  const made: QemuProvider[] = [];
  const make = () => {
    const provider = createQemuProvider(options);
    made.push(provider);
    return provider;
  };
  const generations = new Map<string, number>();
  const provider = make();
  // What machines can have is known once the host was looked at.
  await provider.selfTest(AbortSignal.timeout(60_000));
  return {
    dir,
    doorSocket,
    machinesDir,
    provider,
    again: make,
    boot: (name, vmGeneration, first) => {
      generations.set(name, vmGeneration);
      const secret = first ? { joinSecret: `secret-of-${name}` } : {};
      return { agentId: name, door: `unix:${doorSocket}`, vmGeneration, ...secret };
    },
    exec: (name, command) => door.exec(name, generations.get(name) ?? 1, command),
    leftovers: (name) => leftovers(name, [join(machinesDir, name), join(dir, 'r')]),
    addForeign: async (name) => {
      await mkdir(join(machinesDir, name, 'something'), { recursive: true });
    },
    close: async () => {
      for (const provider of made) provider.close();
      door.close();
      acceleration ??= await readFile(proof, 'utf8').catch(() => undefined);
      await rm(dir, { recursive: true, force: true });
    },
  };
}

/** Files, processes and mounts of a machine. */
async function leftovers(name: string, [machine = '', runDir = '']: readonly string[]): Promise<string[]> {
  const found = existsSync(machine) ? [machine] : [];
  found.push(...(await readdir(runDir).catch(() => [])).map((entry) => join(runDir, entry)));
  for (const pid of (await readdir('/proc')).filter((entry) => /^\d+$/.test(entry))) {
    const line = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
    if (line.includes(machine) || line.includes(`guest=${name}\0`)) found.push(`process ${pid}: ${line}`);
    const cwd = await readlink(`/proc/${pid}/cwd`).catch(() => '');
    if (cwd.startsWith(machine)) found.push(`process ${pid} in ${cwd}`);
  }
  const mounts = (await readFile('/proc/self/mountinfo', 'utf8')).split('\n');
  return [...found, ...mounts.filter((line) => line.includes(machine))];
}
