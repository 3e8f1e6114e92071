import { existsSync } from 'node:fs';
import { mkdir, statfs } from 'node:fs/promises';
import { availableParallelism, totalmem } from 'node:os';
import { join } from 'node:path';
import { untilAborted } from '../../../base/abort.js';
import { type Clock, systemClock } from '../../../base/clock.js';
import { KeyedMutex } from '../../../base/keyed-mutex.js';
import type { Logger } from '../../../base/logger.js';
import { HubError } from '../../../model/hub-error.js';
import type { Image, Snapshot, VmIsolation, VmResources, VmUsage } from '../../../model/vm.js';
import type { ImageStore, StoredImage } from '../../images/image-store.js';
import type {
  Acceleration,
  BootInfo,
  MachineSpec,
  ProviderCapabilities,
  ProviderState,
  ResizeResult,
  SelfTest,
  StageReport,
  VmProvider,
} from '../../provider.js';
import { staged } from '../staged.js';
import { growGuest } from './control-channel.js';
import { allocatedBytes, growDisk } from './disk.js';
import { HostFacts } from './host-facts.js';
import { checkResize, fullDisk, MachineMaker } from './machine-maker.js';
import {
  listRecords,
  type MachinePaths,
  type MachineRecord,
  machinePaths,
  qemuMachinesDir,
  readRecord,
  writeRecord,
} from './machine-record.js';
import { MachineRunner } from './machine-runner.js';
import { MachineWatch } from './machine-watch.js';
import { usageOf } from './qemu-process.js';
import { known, Snapshots } from './snapshots.js';
import { Starter } from './starter.js';

/** Options of {@link createQemuProvider}. */
export interface QemuProviderOptions {
  /** Directory of everything of this provider, below the home. */
  readonly dir: string;
  /** Short directory for the sockets of machines: their paths must have at most 107 bytes. */
  readonly runDir: string;
  /** Unix socket of the agent door. Its directory has nothing else. */
  readonly doorSocket: string;
  readonly images: ImageStore;
  /** Path of the runtime disk for machines that start now; made when it is missing. */
  readonly runtimeDisk: (signal: AbortSignal) => Promise<string>;
  /** User id of this process; machines of root have users of their own. Absent where there are none. */
  readonly uid?: number;
  readonly log: Logger;
  readonly clock?: Clock;
  /** Milliseconds between two looks at a machine. Default 3000. */
  readonly watchMs?: number;
  /** Free bytes on the host's disk from which a paused machine goes on. Default 64 MiB. */
  readonly roomBytes?: number;
}

/** The provider of virtual machines, with what its owner has to end. */
export interface QemuProvider extends VmProvider {
  /** Stops looking after machines; they go on running. */
  close(): void;
}

/** Machines that are virtual machines of QEMU, one process each, which outlives the hub. */
export function createQemuProvider(options: QemuProviderOptions): QemuProvider {
  return new Provider(options);
}

class Provider implements QemuProvider {
  readonly name = 'qemu';
  private readonly mutex = new KeyedMutex();
  private readonly machinesDir: string;
  private readonly runner: MachineRunner;
  private readonly starter: Starter;
  private readonly snapshots: Snapshots;
  private readonly watch: MachineWatch;
  private readonly facts: HostFacts;
  private readonly maker: MachineMaker;

  constructor(private readonly options: QemuProviderOptions) {
    const { log, runDir, doorSocket, images, runtimeDisk } = options;
    const clock = options.clock ?? systemClock;
    this.machinesDir = qemuMachinesDir(options.dir);
    const accelerationFile = join(options.dir, 'acceleration.json');
    const own = options.uid === undefined ? {} : { uid: options.uid };
    this.facts = new HostFacts({ images, accelerationFile, ...own });
    this.runner = new MachineRunner({ runDir, doorSocket, clock });
    const acceleration = (image: StoredImage, signal: AbortSignal) => this.facts.acceleration(signal, image);
    this.starter = new Starter({ runner: this.runner, images, runtimeDisk, acceleration, clock });
    this.snapshots = new Snapshots(this.runner, clock);
    this.maker = new MachineMaker({ machinesDir: this.machinesDir, images, ownUsers: options.uid === 0 });
    const { watchMs, roomBytes } = options;
    this.watch = new MachineWatch({
      runner: this.runner,
      clock,
      log,
      namespaces: (signal) => this.facts.namespaces(signal),
      ...(watchMs === undefined ? {} : { everyMs: watchMs }),
      ...(roomBytes === undefined ? {} : { roomBytes }),
    });
  }

  /** Machines get the internet only where it can be kept away from the host. */
  get capabilities(): ProviderCapabilities {
    return {
      snapshot: true,
      liveSnapshot: true,
      freezes: true,
      console: true,
      enforces: ['cpu', 'memory', 'disk'],
      networks: this.facts.noInternet === '' ? ['internet', 'isolated'] : ['isolated'],
    };
  }

  async selfTest(signal: AbortSignal): Promise<SelfTest> {
    const host = await this.facts.look(signal);
    if ('problem' in host) return { works: false, reason: host.problem };
    const images = await this.options.images.list();
    if (images.some(({ image }) => image !== undefined)) return { works: true };
    return { works: false, reason: 'no image: run "vm-agent image build"' };
  }

  async isolation(): Promise<VmIsolation> {
    const closed = this.facts.noInternet;
    return {
      kind: 'vm',
      securityBoundary: true,
      privatePaths: ['/opt', '/srv', '/home/agent'],
      notEnforced: [],
      notes: closed ? [`machines have no network here: ${closed}`] : [],
    };
  }

  async limits(): Promise<VmResources> {
    await mkdir(this.machinesDir, { recursive: true, mode: 0o700 });
    const disk = await statfs(this.machinesDir);
    return { cpu: availableParallelism(), memoryBytes: totalmem(), diskBytes: disk.blocks * disk.bsize };
  }

  create(spec: MachineSpec, report: StageReport, signal: AbortSignal): Promise<void> {
    return this.exclusive(spec.name, signal, (paths) => this.maker.make(paths, spec, report, signal));
  }

  start(name: string, boot: BootInfo, report: StageReport, signal: AbortSignal): Promise<void> {
    return this.exclusive(name, signal, async (paths) => {
      const record = await existing(paths);
      if ((await this.runner.find(record)) !== undefined && record.wake === undefined) return;
      await this.runner.kill(record, signal);
      const host = await this.facts.host(signal);
      const { reason, kind } = await this.acceleration(signal);
      const detail = reason ? `${kind}: ${reason}` : kind;
      await staged(report, 'boot', detail, async () => {
        await this.starter.start({ paths, record, host, boot }, signal).catch((err: unknown) => {
          throw fullDisk(paths, err);
        });
        this.watch.add(paths, record);
      });
    });
  }

  stop(name: string, options: { readonly force: boolean }, signal: AbortSignal): Promise<void> {
    return this.exclusive(name, signal, async (paths) => {
      const record = await readRecord(paths);
      if (record !== undefined) await this.runner.stop(record, options.force, signal);
    });
  }

  destroy(name: string, signal: AbortSignal): Promise<void> {
    return this.exclusive(name, signal, async (paths) => {
      const record = await readRecord(paths);
      if (record !== undefined) await this.runner.kill(record, signal);
      await this.maker.remove(paths);
    });
  }

  /** A process that hangs runs all the same; a record that cannot be read says nothing about processes. */
  async inspect(name: string): Promise<ProviderState> {
    const paths = machinePaths(this.machinesDir, name);
    const record = await readRecord(paths);
    if (record === undefined) return existsSync(paths.marker) ? 'unknown' : 'absent';
    if ((await this.runner.find(record)) === undefined) return 'stopped';
    this.watch.add(paths, record);
    return 'running';
  }

  async list(): Promise<readonly string[]> {
    return [...(await listRecords(this.machinesDir)).keys()];
  }

  async listSnapshots(name: string): Promise<readonly Snapshot[]> {
    const record = await readRecord(machinePaths(this.machinesDir, name));
    return (record?.snapshots ?? []).map(({ hardware: _, memoryBytes: __, ...snapshot }) => snapshot);
  }

  snapshot(name: string, snapshot: string, description: string, signal: AbortSignal): Promise<Snapshot> {
    return this.exclusive(name, signal, async (paths) => {
      const scene = { paths, record: await existing(paths) };
      return this.snapshots.take(scene, { name: snapshot, description }, signal);
    });
  }

  deleteSnapshot(name: string, snapshot: string, signal: AbortSignal): Promise<void> {
    return this.exclusive(name, signal, async (paths) =>
      this.snapshots.remove({ paths, record: await existing(paths) }, snapshot, signal),
    );
  }

  restore(name: string, snapshot: string, signal: AbortSignal): Promise<void> {
    return this.exclusive(name, signal, async (paths) => {
      const record = await existing(paths);
      known(record, name, snapshot);
      if ((await this.runner.find(record)) !== undefined) {
        const message = `${name} runs; stop it before a restore`;
        throw new HubError('ILLEGAL_STATE', message, { metadata: { vm: name } });
      }
      await this.snapshots.restore({ paths, record }, snapshot, signal);
    });
  }

  async images(): Promise<readonly Image[]> {
    const rows = await this.options.images.list();
    return rows.flatMap(({ names, image }) =>
      image === undefined ? [] : names.map((name) => imageOf(name, image)),
    );
  }

  consoleTail(name: string): Promise<string> {
    return this.runner.consoleTail(machinePaths(this.machinesDir, name));
  }

  resize(name: string, resources: VmResources, signal: AbortSignal): Promise<ResizeResult> {
    return this.exclusive(name, signal, async (paths) => {
      const record = await existing(paths);
      const old = record.spec.resources;
      checkResize(old, resources);
      const running = (await this.runner.find(record)) !== undefined;
      let seen = true;
      if (resources.diskBytes > old.diskBytes) {
        if (running) {
          await this.runner.monitor(record).growDisk(resources.diskBytes, signal);
          seen = await growGuest(this.runner.controlSocket(record), signal);
        } else await growDisk(paths, record, resources.diskBytes, signal);
      }
      await writeRecord(paths, { ...record, spec: { ...record.spec, resources } });
      const { cpu, memoryBytes } = record.hardware ?? old;
      const later = running && (cpu !== resources.cpu || memoryBytes !== resources.memoryBytes);
      return later || !seen ? 'at_next_start' : 'applied';
    });
  }

  async usage(name: string): Promise<VmUsage | undefined> {
    const paths = machinePaths(this.machinesDir, name);
    const record = await readRecord(paths);
    const qemu = record === undefined ? undefined : await this.runner.find(record);
    const used = qemu === undefined ? undefined : await usageOf(qemu.pid);
    return used === undefined ? undefined : { ...used, diskBytes: await allocatedBytes(paths) };
  }

  acceleration(signal: AbortSignal): Promise<Acceleration> {
    return this.facts.acceleration(signal);
  }

  close(): void {
    this.watch.close();
  }

  /** Names of machines have no slash. */
  private exclusive<T>(
    name: string,
    signal: AbortSignal,
    work: (paths: MachinePaths) => Promise<T>,
  ): Promise<T> {
    const running = this.mutex.run(`machine/${name}`, async () => {
      signal.throwIfAborted();
      return work(machinePaths(this.machinesDir, name));
    });
    return untilAborted(running, signal);
  }
}

async function existing(paths: MachinePaths): Promise<MachineRecord> {
  const record = await readRecord(paths);
  if (record?.made) return record;
  throw new HubError('VM_NOT_FOUND', `there is no machine ${paths.name}`, { metadata: { vm: paths.name } });
}

function imageOf(name: string, { manifest }: StoredImage): Image {
  const { description } = manifest;
  return { name, provider: 'qemu', sizeBytes: manifest.files.disk.bytes, cached: true, description };
}
