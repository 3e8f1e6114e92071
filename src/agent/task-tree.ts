import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { signalProcess } from '../base/process.js';
import { cgroupArgv, type KillScope, namespaceArgv } from './kill-scope.js';
import {
  isRunning,
  killMarked,
  movingOf,
  pidNamespace,
  pidsInGroup,
  pidsInNamespace,
  pidsWithMark,
  processGroup,
} from './proc-tree.js';

/**
 * All processes of one task. It makes the command line that keeps them together, and reaches them afterwards.
 * With a process group, those that left the group are found by the mark in their environment, as far as they
 * kept it.
 */
export class TaskTree {
  private readonly cgroup: string | undefined;
  private pid: number | undefined;
  private init: number | undefined;
  private namespace: string | undefined;

  constructor(
    private readonly scope: KillScope,
    /** Value of the environment variable that marks the processes. */
    readonly mark: string,
  ) {
    this.cgroup =
      scope.name === 'cgroup' ? join(scope.root, `task-${mark.replaceAll(/[^\w.-]/g, '_')}`) : undefined;
  }

  /** The command line to start in place of `argv`. */
  wrap(argv: readonly string[]): readonly string[] {
    if (this.scope.name === 'pid_namespace') return namespaceArgv(argv, this.scope.userNamespace);
    if (this.cgroup === undefined) return argv;
    mkdirSync(this.cgroup, { recursive: true });
    return cgroupArgv(argv, this.cgroup);
  }

  /** Whether the process writes the number of its init to file descriptor 3. */
  get tellsInit(): boolean {
    return this.scope.name === 'pid_namespace';
  }

  /** It was started, as the leader of a process group. */
  started(pid: number): void {
    this.pid = pid;
  }

  /** The number of the namespace's init is known. */
  setInit(pid: number): void {
    if (!Number.isInteger(pid) || pid <= 1) return;
    this.init = pid;
    this.namespace = pidNamespace(pid);
  }

  /** Sends a signal to every process of the task. */
  signal(signal: NodeJS.Signals): void {
    if (signal === 'SIGKILL') {
      this.kill();
      return;
    }
    for (const pid of this.targets()) if (pid !== this.init) signalProcess(pid, signal);
  }

  /**
   * Stops every process of the task. Answers whether all of them stand, also those that were just forked; ask again
   * until they do. Those that wait for the task outside of its namespace have to stand before any other stops:
   * nsenter stops itself when it sees its child stop, and would stand still for ever.
   */
  freeze(): boolean {
    if (this.cgroup !== undefined) return freezeCgroup(this.cgroup, true);
    if (stopMoving(this.waiting()) > 0) return false;
    return stopMoving(this.pids().filter((pid) => pid !== this.init)) === 0;
  }

  /** Lets every process go on; those that wait for the task last. */
  thaw(): void {
    if (this.cgroup !== undefined) {
      freezeCgroup(this.cgroup, false);
      return;
    }
    this.signal('SIGCONT');
    for (const pid of this.waiting()) signalProcess(pid, 'SIGCONT');
  }

  /** Kills every process of the task. */
  kill(): void {
    if (this.init !== undefined) signalProcess(this.init, 'SIGKILL');
    if (this.pid !== undefined) signalProcess(-this.pid, 'SIGKILL');
    if (this.cgroup !== undefined) writeCgroup(join(this.cgroup, 'cgroup.kill'), '1');
    if (this.scope.name === 'process_group') killMarked(this.mark);
  }

  /** Whether the kernel killed some of it for want of memory; ask before it is gone. */
  get outOfMemory(): boolean {
    if (this.cgroup === undefined) return false;
    return Number(/^oom_kill (\d+)$/m.exec(readText(join(this.cgroup, 'memory.events')))?.[1] ?? 0) > 0;
  }

  /** Whether something of the task is alive; zombies are not. */
  get alive(): boolean {
    if (this.init !== undefined) return isRunning(this.init);
    return this.cgroup !== undefined && !removeCgroup(this.cgroup);
  }

  /** Whom to send a signal: processes, and with a negative number a whole group. */
  private targets(): readonly number[] {
    const { pid: leader } = this;
    if (this.namespace !== undefined || this.cgroup !== undefined || leader === undefined) return this.pids();
    return [-leader, ...pidsWithMark(this.mark).filter((pid) => processGroup(pid) !== leader)];
  }

  /** Processes outside of the namespace of the task that brought it there and wait for its end. */
  private waiting(): readonly number[] {
    if (this.namespace === undefined || this.pid === undefined) return [];
    return pidsInGroup(this.pid).filter((pid) => pidNamespace(pid) !== this.namespace);
  }

  private pids(): readonly number[] {
    if (this.namespace !== undefined) return pidsInNamespace(this.namespace);
    if (this.cgroup !== undefined) return pidsInCgroup(this.cgroup);
    const inGroup = this.pid === undefined ? [] : pidsInGroup(this.pid);
    return [...new Set([...inGroup, ...pidsWithMark(this.mark)])];
  }
}

/** Stops processes; answers how many of them moved. */
function stopMoving(pids: readonly number[]): number {
  const moving = movingOf(pids);
  for (const pid of moving) signalProcess(pid, 'SIGSTOP');
  return moving.length;
}

/** Answers whether all of a cgroup stands still, or goes on; ask again until it does. */
function freezeCgroup(path: string, frozen: boolean): boolean {
  const wanted = frozen ? '1' : '0';
  writeCgroup(join(path, 'cgroup.freeze'), wanted);
  return readText(join(path, 'cgroup.events')).includes(`frozen ${wanted}`);
}

function pidsInCgroup(path: string): readonly number[] {
  return readText(join(path, 'cgroup.procs'))
    .split('\n')
    .map(Number)
    .filter((pid) => pid > 1);
}

/** Empty when it is not there. */
function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

function writeCgroup(path: string, text: string): void {
  try {
    writeFileSync(path, text);
  } catch {
    // It is gone already.
  }
}

/** A cgroup can be removed once nothing lives in it. */
function removeCgroup(path: string): boolean {
  try {
    rmdirSync(path);
    return true;
  } catch (err) {
    return (err as NodeJS.ErrnoException).code === 'ENOENT';
  }
}
