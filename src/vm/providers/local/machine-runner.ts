import { existsSync } from 'node:fs';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { basename, delimiter, dirname, join } from 'node:path';
import type { Clock } from '../../../base/clock.js';
import { messageOf } from '../../../base/errno.js';
import { readTail, writePrivate } from '../../../base/files.js';
import type { ProcessRow } from '../../../base/process-table.js';
import { HubError } from '../../../model/hub-error.js';
import type { BootInfo, MachineSpec } from '../../provider.js';
import {
  findMachineProcess,
  freezeAll,
  killAll,
  type Members,
  membersOf,
  signalRows,
  thawRows,
  waitGone,
} from '../machine-process.js';
import { type IsolationMode, namespacePrefix } from './isolation.js';
import { type LaunchPlan, launchLog, launchMachine } from './launcher.js';
import type { MachinePaths } from './machine-files.js';
import { DOOR_DIR, MACHINE_MNT, mountPlan, nodeDirs, type PrivatePath } from './mount-plan.js';

/** How machines run on this host. */
export interface MachineSetup {
  readonly mode: IsolationMode;
  /** Home inside machines with namespaces. */
  readonly home: string;
  readonly privatePaths: readonly PrivatePath[];
  readonly agentProgram: string;
  readonly nodePath: string;
  readonly visible: readonly string[];
}

/** How long a machine may take to end by itself before it is killed. */
const STOP_GRACE_MS = 10_000;
const PATHS = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'];

/** Starts, stops and freezes the processes of machines. The caller serialises calls for one machine. */
export class MachineRunner {
  private readonly freezing = new Set<string>();

  constructor(
    private readonly setup: () => Promise<MachineSetup>,
    private readonly clock: Clock,
  ) {}

  /** Whether it runs, whoever started it. A machine that a dead hub left frozen goes on. */
  async isRunning(paths: MachinePaths): Promise<boolean> {
    if ((await findMachineProcess(paths.pidFile)) === undefined) return false;
    if (existsSync(paths.frozen) && !this.freezing.has(paths.name)) {
      await thawRows(await (await this.membersOf(paths))());
      await rm(paths.frozen, { force: true });
    }
    return true;
  }

  /** @throws HubError VM_FAILED with the last words of the console. */
  async start(paths: MachinePaths, spec: MachineSpec, boot: BootInfo, signal: AbortSignal): Promise<void> {
    if (await this.isRunning(paths)) return;
    const setup = await this.setup();
    await writeConfig(paths, spec, boot, setup);
    await rm(paths.pidFile, { force: true });
    await rm(paths.console, { force: true });
    try {
      await launchMachine(await launchPlan(paths, boot, setup), signal);
    } catch (err) {
      signal.throwIfAborted();
      if (await this.isRunning(paths)) return;
      const words = `${await readTail(launchLog(paths), 1000)}${await readTail(paths.console, 1000)}`.trim();
      const message = `${paths.name} did not start: ${messageOf(err)}${words && `; its last words: ${words}`}`;
      throw new HubError('VM_FAILED', message, { metadata: { vm: paths.name, console: words }, cause: err });
    }
  }

  /** Asks it to end and kills what is left; with `force` kills at once. */
  async stop(paths: MachinePaths, force: boolean, signal: AbortSignal): Promise<void> {
    const running = await this.isRunning(paths);
    const members = await this.membersOf(paths);
    const before = await members();
    if (running && !force) await this.askToEnd(before, signal);
    await killAll(members, before, this.clock, signal);
    await rm(paths.pidFile, { force: true });
  }

  /** Does the work while all processes of the machine stand still; they go on however it ends. */
  async whileFrozen<T>(paths: MachinePaths, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    if (!(await this.isRunning(paths))) return work();
    this.freezing.add(paths.name);
    try {
      await writeFile(paths.frozen, '');
      const rows = await freezeAll(await this.membersOf(paths), this.clock, signal);
      try {
        return await work();
      } finally {
        await thawRows(rows);
      }
    } finally {
      await rm(paths.frozen, { force: true });
      this.freezing.delete(paths.name);
    }
  }

  /** Without namespaces, what left the tree is known by its HOME, which is that of one machine only. */
  private async membersOf(paths: MachinePaths): Promise<Members> {
    const setup = await this.setup();
    const mark = setup.mode === 'directory' ? `HOME=${homeOf(paths, setup)}` : undefined;
    return async () => membersOf(await findMachineProcess(paths.pidFile), mark);
  }

  /** The init process hands SIGTERM on: the child of `unshare`, or the first process itself. */
  private async askToEnd(tree: readonly ProcessRow[], signal: AbortSignal): Promise<void> {
    const { mode } = await this.setup();
    const [first, second] = tree;
    const init = mode === 'directory' ? first : second;
    if (first === undefined || init === undefined) return;
    await signalRows([init], 'SIGTERM');
    await waitGone([first], { deadlineMs: STOP_GRACE_MS, clock: this.clock, signal });
  }
}

/** The agent's config and secret; the secret of the first start is kept for the later ones. */
async function writeConfig(paths: MachinePaths, spec: MachineSpec, boot: BootInfo, setup: MachineSetup) {
  if (boot.joinSecret !== undefined) await writePrivate(paths.secret, `${boot.joinSecret}\n`);
  else if (!(await readFile(paths.secret, 'utf8').catch(() => ''))) {
    const message = `the join secret of ${paths.name} is missing; destroy the agent and create it again`;
    throw new HubError('VM_FAILED', message, { metadata: { vm: paths.name } });
  }
  const inside = setup.mode !== 'directory';
  const mnt = inside ? MACHINE_MNT : paths.mnt;
  const config = {
    agentId: boot.agentId,
    tokenFile: join(mnt, basename(paths.secret)),
    door: inside ? doorInside(boot.door) : boot.door,
    stateDir: join(mnt, basename(paths.state)),
    vmGeneration: boot.vmGeneration,
    home: homeOf(paths, setup),
    allowSudo: spec.allowHostSudo,
  };
  await writePrivate(paths.config, JSON.stringify(config, null, 2));
}

async function launchPlan(paths: MachinePaths, boot: BootInfo, setup: MachineSetup): Promise<LaunchPlan> {
  const inside = setup.mode !== 'directory';
  const home = homeOf(paths, setup);
  const mnt = inside ? MACHINE_MNT : paths.mnt;
  const socket = socketPath(boot.door);
  if (socket !== undefined) await mkdir(dirname(socket), { recursive: true, mode: 0o700 });
  const view = {
    privatePaths: setup.privatePaths,
    visible: [...nodeDirs(setup.nodePath, setup.privatePaths), dirname(setup.agentProgram), ...setup.visible],
    ...(socket === undefined ? {} : { doorDir: dirname(socket) }),
  };
  return {
    paths,
    namespaces: namespacePrefix(setup.mode),
    mounts: inside ? mountPlan(paths, view) : [],
    consoleDir: mnt,
    program: [setup.nodePath, setup.agentProgram, '--config', join(mnt, basename(paths.config))],
    env: { PATH: searchPath(setup.nodePath), LANG: 'C.UTF-8', HOME: home, TERM: 'xterm-256color' },
    cwd: inside ? '/' : home,
  };
}

function homeOf(paths: MachinePaths, setup: MachineSetup): string {
  return setup.mode === 'directory' ? join(paths.root, 'home') : setup.home;
}

function socketPath(door: string): string | undefined {
  return door.startsWith('unix:') ? door.slice('unix:'.length) : undefined;
}

function doorInside(door: string): string {
  const socket = socketPath(door);
  return socket === undefined ? door : `unix:${join(DOOR_DIR, basename(socket))}`;
}

function searchPath(nodePath: string): string {
  return [...new Set([dirname(nodePath), ...PATHS])].join(delimiter);
}
