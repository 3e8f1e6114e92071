import { createHash } from 'node:crypto';
import { chmod, chown, lchown, mkdir, readFile, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { Clock } from '../../../base/clock.js';
import { messageOf } from '../../../base/errno.js';
import { readTail, writePrivate } from '../../../base/files.js';
import type { ProcessRow } from '../../../base/process-table.js';
import { bootDiskOf, type GuestBoot } from '../../../model/guest-boot.js';
import { HubError } from '../../../model/hub-error.js';
import type { StoredImage } from '../../images/image-store.js';
import { nocloudSeed } from '../../images/nocloud-seed.js';
import type { BootInfo } from '../../provider.js';
import { killAll, waitGone } from '../machine-process.js';
import { accelerationGroup } from './acceleration.js';
import { type QemuView, qemuArguments, RUN_FILES } from './argv.js';
import { guestBoot } from './boot-disk.js';
import { sendToGuest } from './control-channel.js';
import { growDisk, makeVmDir } from './disk.js';
import { closedNetworks, type QemuHost } from './host.js';
import { CONSOLE_FD, launchQemu } from './launcher.js';
import { type Hardware, type MachinePaths, type MachineRecord, VM_FILES } from './machine-record.js';
import { Monitor } from './monitor.js';
import { findQemu, processesOf } from './qemu-process.js';
import { VIEW } from './scripts.js';

/** Options of {@link MachineRunner}. */
export interface RunnerOptions {
  /** Short directory for the sockets of all machines. */
  readonly runDir: string;
  /** Unix socket of the agent door. */
  readonly doorSocket: string;
  readonly clock: Clock;
}

/** A machine to be started. */
export interface StartPlan {
  readonly paths: MachinePaths;
  readonly record: MachineRecord;
  readonly hardware: Hardware;
  readonly image: StoredImage;
  readonly host: QemuHost;
  readonly boot: BootInfo;
  /** Starts it paused, for its memory to be loaded. */
  readonly paused: boolean;
}

/** How long a guest may take to switch off by itself. */
const POWERDOWN_MS = 45_000;
/** How long QEMU may take to write what it has in hand. */
const QUIT_MS = 5_000;
const CONSOLE_TAIL_BYTES = 8192;
/** Most time for ending a machine that did not start. */
const CLEANUP_MS = 30_000;

/** Starts and ends the processes of machines. The caller serialises calls for one machine. */
export class MachineRunner {
  constructor(private readonly options: RunnerOptions) {}

  /** The QEMU of a machine, whoever started it. */
  find(record: MachineRecord): Promise<ProcessRow | undefined> {
    return findQemu(join(this.runDir(record), RUN_FILES.pid), record);
  }

  /** The monitor of a machine that runs. */
  monitor(record: MachineRecord): Monitor {
    return new Monitor(join(this.runDir(record), RUN_FILES.qmp), record.spec.name);
  }

  controlSocket(record: MachineRecord): string {
    return join(this.runDir(record), RUN_FILES.control);
  }

  /** Starts QEMU. @throws HubError VM_FAILED with the last words of what was started; then nothing of it runs. */
  async start(plan: StartPlan, signal: AbortSignal): Promise<GuestBoot> {
    const { paths, record } = plan;
    const { uid } = record;
    const boot = guestBoot(record, plan.boot, await keepSecret(paths, plan.boot), this.options.clock.now());
    await this.clear(record);
    await makeVmDir(paths, record);
    if (!plan.paused) await growDisk(paths, record, record.spec.resources.diskBytes, signal);
    await writeOwned(paths.boot, bootDiskOf(boot), uid);
    if (isCloud(plan.image)) await writeOwned(paths.seed, seedOf(record), uid);
    for (const file of paths.consoles) await rm(file, { force: true });
    await this.makeRunDir(record);
    try {
      await launchQemu(await this.launchPlan(plan), signal);
      return boot;
    } catch (err) {
      await this.kill(record, AbortSignal.timeout(CLEANUP_MS));
      signal.throwIfAborted();
      const message = `${paths.name} did not start: ${messageOf(err)}`;
      throw new HubError('VM_FAILED', message, { metadata: { vm: paths.name }, cause: err });
    }
  }

  /** Lets the guest switch off; with `force`, or when it does not, ends QEMU, at last by a signal. */
  async stop(record: MachineRecord, force: boolean, signal: AbortSignal): Promise<void> {
    const qemu = await this.find(record);
    if (qemu !== undefined) {
      const gone = !force && (await this.switchOff(record, qemu, signal));
      if (!gone) await this.ask(record, qemu, 'quit', QUIT_MS, signal);
    }
    await this.kill(record, signal);
  }

  /** The agent is asked as well as the machine's power button pressed: not every guest has somebody at its button. */
  private async switchOff(record: MachineRecord, qemu: ProcessRow, signal: AbortSignal): Promise<boolean> {
    const sent = await sendToGuest(this.controlSocket(record), { type: 'off' }).catch(() => undefined);
    try {
      return await this.ask(record, qemu, 'system_powerdown', POWERDOWN_MS, signal);
    } finally {
      sent?.[Symbol.dispose]();
    }
  }

  /** Ends everything that runs for a machine, and removes its sockets. */
  async kill(record: MachineRecord, signal: AbortSignal): Promise<void> {
    await killAll(() => processesOf(record), [], this.options.clock, signal);
    await this.clear(record);
  }

  /** The last words of the console; the file that was written last comes last. */
  async consoleTail(paths: MachinePaths, bytes = CONSOLE_TAIL_BYTES): Promise<string> {
    return (await consoleText(paths, bytes)).replaceAll('\r', '').slice(-bytes);
  }

  /** What a machine left in the runtime directory. */
  async clear(record: MachineRecord): Promise<void> {
    await rm(this.runDir(record), { recursive: true, force: true });
  }

  /** Sockets have short names, because their whole path must be short. */
  runDir({ uuid }: MachineRecord): string {
    return join(this.options.runDir, createHash('sha256').update(uuid).digest('hex').slice(0, 12));
  }

  /** Asks for the end of QEMU and waits for it; false when it does not come, or QEMU cannot be asked. */
  private async ask(
    record: MachineRecord,
    qemu: ProcessRow,
    command: 'system_powerdown' | 'quit',
    deadlineMs: number,
    signal: AbortSignal,
  ): Promise<boolean> {
    const { clock } = this.options;
    const asked = await this.monitor(record)
      .end(command, signal)
      .catch(() => false);
    signal.throwIfAborted();
    return asked && (await waitGone([qemu], { deadlineMs, clock, signal }));
  }

  private async makeRunDir(record: MachineRecord): Promise<void> {
    const dir = this.runDir(record);
    await mkdir(this.options.runDir, { recursive: true, mode: 0o700 });
    await mkdir(dir, { mode: 0o700 });
    const { uid } = record;
    if (uid !== undefined) await chown(dir, uid, uid);
  }

  private async launchPlan({ paths, record, hardware, image, host, paused }: StartPlan) {
    const { doorSocket } = this.options;
    const group = record.uid === undefined ? undefined : await accelerationGroup(hardware.acceleration);
    const open = record.spec.network === 'internet' && host.noInternet === '';
    const places = {
      vm: paths.vm,
      run: this.runDir(record),
      door: dirname(doorSocket),
      image: image.dir,
      runtime: dirname(hardware.runtime),
    };
    if (record.uid !== undefined) await openImage(image, hardware.runtime);
    const seen = host.namespaces ? inView(places) : places;
    const view = viewOf(seen, { doorSocket, image, runtime: hardware.runtime });
    const qemu = qemuArguments({
      name: paths.name,
      uuid: record.uuid,
      mac: macOf(record.uuid),
      hardware,
      view,
      files: {
        disk: join(seen.vm, VM_FILES.disk),
        boot: join(seen.vm, VM_FILES.boot),
        ...(isCloud(image) ? { seed: join(seen.vm, VM_FILES.seed) } : {}),
      },
      open,
      paused,
      consoleFd: CONSOLE_FD,
      sandbox: host.sandbox,
    });
    return {
      mark: record.uuid,
      vmDir: paths.vm,
      log: paths.launchLog,
      network: open ? ('internet' as const) : ('isolated' as const),
      closed: closedNetworks(),
      qemu,
      ...(record.uid === undefined ? {} : { uid: record.uid }),
      ...(group === undefined ? {} : { group }),
      ...(host.namespaces
        ? { mounts: Object.entries(places).map(([name, source]) => [source, name] as const) }
        : {}),
    };
  }
}

interface Places {
  readonly vm: string;
  readonly run: string;
  readonly door: string;
  readonly image: string;
  readonly runtime: string;
}

/** Where QEMU sees them in its own mount namespace. */
function inView(places: Places): Places {
  const seen = Object.keys(places).map((name) => [name, join(VIEW, name)]);
  return Object.fromEntries(seen) as unknown as Places;
}

function viewOf(
  seen: Places,
  files: { readonly doorSocket: string; readonly image: StoredImage; readonly runtime: string },
): QemuView {
  const { disk, kernel, initrd } = files.image.paths;
  const below = (path: string) => join(seen.image, basename(path));
  return {
    vm: seen.vm,
    run: seen.run,
    door: join(seen.door, basename(files.doorSocket)),
    image: below(disk),
    runtime: join(seen.runtime, basename(files.runtime)),
    ...(kernel === undefined ? {} : { kernel: below(kernel) }),
    ...(initrd === undefined ? {} : { initrd: below(initrd) }),
  };
}

/** The secret of the first start is kept for the later ones. */
async function keepSecret(paths: MachinePaths, boot: BootInfo): Promise<string> {
  if (boot.joinSecret !== undefined) {
    await writePrivate(paths.secret, `${boot.joinSecret}\n`);
    return boot.joinSecret;
  }
  const secret = (await readFile(paths.secret, 'utf8').catch(() => '')).trim();
  if (secret) return secret;
  const message = `the join secret of ${paths.name} is missing; destroy the agent and create it again`;
  throw new HubError('VM_FAILED', message, { metadata: { vm: paths.name } });
}

/** A 0600 file of the machine's user. The directory is the machine's, so that nothing in it is followed. */
async function writeOwned(path: string, data: Buffer, uid: number | undefined): Promise<void> {
  await rm(path, { recursive: true, force: true });
  await writePrivate(path, data);
  if (uid !== undefined) await lchown(path, uid, uid);
}

/** Images hold no secrets, and lie below a directory that is closed. */
async function openImage(image: StoredImage, runtime: string): Promise<void> {
  for (const dir of [image.dir, dirname(runtime)]) await setMode(dir, 0o755);
  for (const file of [...Object.values(image.paths), runtime]) await setMode(file, 0o444);
}

/** What is touched for nothing has to be hashed again before the next start. */
async function setMode(path: string, mode: number): Promise<void> {
  if (((await stat(path)).mode & 0o7777) !== mode) await chmod(path, mode);
}

function isCloud({ manifest }: StoredImage): boolean {
  return manifest.kind === 'cloud';
}

function seedOf({ spec, uuid }: MachineRecord): Buffer {
  return nocloudSeed({ hostname: spec.name, instanceId: uuid, macAddress: macOf(uuid) });
}

/** An address of its own, from those that nobody sells. */
function macOf(uuid: string): string {
  const bytes = createHash('sha256').update(uuid).digest('hex').slice(0, 6).match(/../g) ?? [];
  return ['52', '54', '00', ...bytes].join(':');
}

async function consoleText(paths: MachinePaths, bytes: number): Promise<string> {
  const files = await Promise.all(
    paths.consoles.map(async (file) => ({
      file,
      time: (await stat(file).catch(() => undefined))?.mtimeMs ?? 0,
    })),
  );
  const inOrder = files.sort((a, b) => a.time - b.time);
  return (await Promise.all(inOrder.map(({ file }) => readTail(file, bytes)))).join('');
}
