import { existsSync } from 'node:fs';
import { mkdir, readdir, realpath, statfs } from 'node:fs/promises';
import { availableParallelism, homedir, totalmem } from 'node:os';
import { untilAborted } from '../../../base/abort.js';
import { type Clock, systemClock } from '../../../base/clock.js';
import { missingIsEmpty, readTail } from '../../../base/files.js';
import { KeyedMutex } from '../../../base/keyed-mutex.js';
import type { Logger } from '../../../base/logger.js';
import { HubError } from '../../../model/hub-error.js';
import type { Image, Snapshot, VmIsolation, VmResources } from '../../../model/vm.js';
import type {
  BootInfo,
  MachineSpec,
  ProviderCapabilities,
  ProviderState,
  SelfTest,
  StageReport,
  VmProvider,
} from '../../provider.js';
import { staged } from '../staged.js';
import { describeIsolation, filePrefix, type Probe, probeIsolation } from './isolation.js';
import {
  listMachineNames,
  type MachinePaths,
  machinePaths,
  makeMachineFiles,
  readMarker,
} from './machine-files.js';
import { MachineRunner, type MachineSetup } from './machine-runner.js';
import { machineHome, privatePathsFor } from './mount-plan.js';
import { SnapshotFiles, snapshotNotFound } from './snapshots.js';
import { Trees } from './trees.js';

/** Options of {@link createLocalProvider}. */
export interface LocalProviderOptions {
  /** Directory of all machines. */
  readonly machinesDir: string;
  /** The bundled agent program. Its directory stays visible in machines. */
  readonly agentProgram: string;
  /** Node.js that runs the agent. Its prefix, npm included, stays visible in machines. */
  readonly nodePath: string;
  readonly log: Logger;
  /** Further directories of the host that machines must see, read-only. Default none. */
  readonly visible?: readonly string[];
  /** The user's home, private in each machine. Default that of this process. */
  readonly home?: string;
  /** Answers what the host allows. Default: tries it, once. */
  readonly probe?: (signal: AbortSignal) => Promise<Probe>;
  readonly clock?: Clock;
}

const PROBE_TIMEOUT_MS = 15_000;
const CONSOLE_TAIL_BYTES = 8192;

/**
 * Machines that are processes of this host with files of their own: mount, PID and user namespaces where the host
 * allows. They outlive the hub. Not a security boundary.
 */
export function createLocalProvider(options: LocalProviderOptions): VmProvider {
  return new LocalProvider(options);
}

class LocalProvider implements VmProvider {
  readonly name = 'local';
  readonly capabilities: ProviderCapabilities = {
    snapshot: true,
    liveSnapshot: false,
    freezes: true,
    console: true,
    enforces: [],
    networks: ['host'],
  };
  private readonly mutex = new KeyedMutex();
  private readonly clock: Clock;
  private readonly trees = new Trees(async () => filePrefix((await this.probe()).mode));
  private readonly snapshotFiles = new SnapshotFiles(this.trees);
  private readonly runner: MachineRunner;
  private probing: Promise<Probe> | undefined;

  constructor(private readonly options: LocalProviderOptions) {
    this.clock = options.clock ?? systemClock;
    this.runner = new MachineRunner(() => this.setup(), this.clock);
  }

  async selfTest(): Promise<SelfTest> {
    if (!existsSync('/proc/self/stat')) return { works: false, reason: 'it needs the /proc of Linux' };
    if (existsSync(this.options.agentProgram)) return { works: true };
    return { works: false, reason: `the agent program ${this.options.agentProgram} is missing; run make` };
  }

  async isolation(): Promise<VmIsolation> {
    return describeIsolation(await this.probe(), privatePathsFor(this.home()));
  }

  async limits(): Promise<VmResources> {
    await mkdir(this.options.machinesDir, { recursive: true, mode: 0o700 });
    const disk = await statfs(this.options.machinesDir);
    return { cpu: availableParallelism(), memoryBytes: totalmem(), diskBytes: disk.bavail * disk.bsize };
  }

  create(spec: MachineSpec, report: StageReport, signal: AbortSignal): Promise<void> {
    return this.exclusive(spec.name, signal, async (paths) => {
      if (spec.image) {
        throw HubError.invalid({
          field: 'image',
          description: 'the local provider has no images; leave it out',
        });
      }
      if (!(await isOursOrNew(paths))) throw foreign(paths);
      await staged(report, 'disk', `own files in ${paths.root}`, () => makeMachineFiles(paths, spec));
    });
  }

  start(name: string, boot: BootInfo, report: StageReport, signal: AbortSignal): Promise<void> {
    return this.exclusive(name, signal, async (paths) => {
      const spec = await this.existing(paths);
      if (await this.runner.isRunning(paths)) return;
      const { kind } = await this.isolation();
      await this.snapshotFiles.settle(paths, signal);
      await staged(report, 'boot', kind, () => this.runner.start(paths, spec, boot, signal));
    });
  }

  stop(name: string, options: { readonly force: boolean }, signal: AbortSignal): Promise<void> {
    return this.exclusive(name, signal, (paths) => this.runner.stop(paths, options.force, signal));
  }

  destroy(name: string, signal: AbortSignal): Promise<void> {
    return this.exclusive(name, signal, async (paths) => {
      if (!existsSync(paths.dir)) return;
      if (!(await isOursOrNew(paths))) throw foreign(paths);
      await this.runner.stop(paths, true, signal);
      const { root, mnt, snapshots, dir } = paths;
      await this.trees.remove([snapshots, root, `${root}.old`, `${root}.partial`, mnt], signal);
      await this.trees.remove([dir], signal);
    });
  }

  async inspect(name: string): Promise<ProviderState> {
    const paths = machinePaths(this.options.machinesDir, name);
    if (await this.runner.isRunning(paths)) return 'running';
    return (await readMarker(paths)) === undefined ? 'absent' : 'stopped';
  }

  list(): Promise<readonly string[]> {
    return listMachineNames(this.options.machinesDir);
  }

  listSnapshots(name: string): Promise<readonly Snapshot[]> {
    return this.snapshotFiles.list(machinePaths(this.options.machinesDir, name));
  }

  snapshot(name: string, snapshot: string, description: string, signal: AbortSignal): Promise<Snapshot> {
    return this.exclusive(name, signal, async (paths) => {
      await this.existing(paths);
      await this.snapshotFiles.settle(paths, signal);
      if ((await this.listSnapshots(name)).some((known) => known.name === snapshot)) {
        const message = `${name} already has a snapshot ${snapshot}; choose another name or delete it`;
        throw new HubError('SNAPSHOT_EXISTS', message, { metadata: { agent: name, snapshot } });
      }
      const about = { name: snapshot, agent: name, createMs: this.clock.now(), live: false, description };
      return this.runner.whileFrozen(paths, signal, () => this.snapshotFiles.take(paths, about, signal));
    });
  }

  deleteSnapshot(name: string, snapshot: string, signal: AbortSignal): Promise<void> {
    return this.exclusive(name, signal, async (paths) => {
      await this.knownSnapshot(name, snapshot);
      await this.snapshotFiles.remove(paths, snapshot, signal);
    });
  }

  restore(name: string, snapshot: string, signal: AbortSignal): Promise<void> {
    return this.exclusive(name, signal, async (paths) => {
      await this.existing(paths);
      await this.knownSnapshot(name, snapshot);
      if (await this.runner.isRunning(paths)) {
        throw new HubError('ILLEGAL_STATE', `${name} runs; stop it before a restore`, {
          metadata: { vm: name },
        });
      }
      await this.snapshotFiles.restore(paths, snapshot, signal);
    });
  }

  async images(): Promise<readonly Image[]> {
    return [];
  }

  consoleTail(name: string): Promise<string> {
    return readTail(machinePaths(this.options.machinesDir, name).console, CONSOLE_TAIL_BYTES);
  }

  private home(): string {
    return machineHome(this.options.home ?? homedir());
  }

  private probe(): Promise<Probe> {
    const probe = this.options.probe ?? probeIsolation;
    this.probing ??= probe(AbortSignal.timeout(PROBE_TIMEOUT_MS));
    return this.probing;
  }

  /** Symbolic links are resolved, because the machine sees only where they lead. */
  private async setup(): Promise<MachineSetup> {
    const home = this.home();
    return {
      mode: (await this.probe()).mode,
      home,
      privatePaths: privatePathsFor(home),
      agentProgram: await realpath(this.options.agentProgram),
      nodePath: await realpath(this.options.nodePath),
      visible: this.options.visible ?? [],
    };
  }

  private exclusive<T>(
    name: string,
    signal: AbortSignal,
    work: (paths: MachinePaths) => Promise<T>,
  ): Promise<T> {
    const paths = machinePaths(this.options.machinesDir, name);
    const running = this.mutex.run(name, async () => {
      signal.throwIfAborted();
      return work(paths);
    });
    return untilAborted(running, signal);
  }

  private async existing(paths: MachinePaths): Promise<MachineSpec> {
    const spec = await readMarker(paths);
    if (spec !== undefined) return spec;
    throw new HubError('VM_NOT_FOUND', `there is no machine ${paths.name}`, { metadata: { vm: paths.name } });
  }

  private async knownSnapshot(name: string, snapshot: string): Promise<void> {
    const known = await this.listSnapshots(name);
    if (!known.some((item) => item.name === snapshot)) throw snapshotNotFound(name, snapshot, known);
  }
}

/** A directory that is ours, or holds nothing yet but the beginning of a marker. */
async function isOursOrNew(paths: MachinePaths): Promise<boolean> {
  if ((await readMarker(paths)) !== undefined) return true;
  const entries = await readdir(paths.dir).catch(missingIsEmpty);
  return entries.every((entry) => `${paths.dir}/${entry}` === `${paths.marker}.partial`);
}

function foreign(paths: MachinePaths): HubError {
  const message = `the directory ${paths.dir} is not a machine of the local provider; move it away`;
  return new HubError('VM_FAILED', message, { metadata: { vm: paths.name } });
}
