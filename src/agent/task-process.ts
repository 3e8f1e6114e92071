import type { ChildProcess } from 'node:child_process';
import { closeSync, fchownSync } from 'node:fs';
import { finished } from 'node:stream/promises';
import { onAbort } from '../base/abort.js';
import type { Clock } from '../base/clock.js';
import { deferred } from '../base/deferred.js';
import { start } from '../base/process.js';
import type { KillScope } from './kill-scope.js';
import type { OutputSink } from './output-sink.js';
import type { OutputPipe, PipePool } from './pipe-pool.js';
import { RUN_MARK } from './proc-tree.js';
import type { StopSwitch } from './stop.js';
import { TaskTree } from './task-tree.js';
import { asUser, type TaskUser } from './task-user.js';
import type { TreeSet } from './tree-set.js';

/** From SIGTERM to SIGKILL. */
const GRACE_MS = 10_000;
/** From the end of the process to the end of its output, when something else holds its streams open. */
const DRAIN_MS = 2000;
/** For killed processes to be gone. */
const GONE_MS = 2000;
const GONE_POLL_MS = 1;

/** What a process needs around it. */
export interface ProcessContext {
  readonly scope: KillScope;
  /** Marks the processes of this attempt. */
  readonly mark: string;
  readonly sink: OutputSink;
  readonly pipes: PipePool;
  readonly clock: Clock;
  readonly stop: StopSwitch;
  /** The trees that are alive, for freezing. */
  readonly trees: TreeSet;
}

/** What to start. */
export interface ProcessRequest {
  readonly argv: readonly string[];
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  /** Whose process it is. Default: this one's user. */
  readonly user?: TaskUser;
}

/** How a process ended. */
export interface ProcessEnd {
  readonly exitCode?: number;
  readonly signal?: string;
  /** Whether the agent had to end it. */
  readonly killed: boolean;
  /** Whether the kernel killed some of it because there was no memory left; known in a cgroup only. */
  readonly outOfMemory: boolean;
}

/**
 * Runs a process with everything it starts, and answers how it ended. Afterwards nothing of it is alive, as far
 * as the kill scope reaches. `stop` sends SIGTERM to all of it, and SIGKILL 10 s later.
 *
 * @throws the system error when it cannot be started.
 */
export async function runTaskProcess(ctx: ProcessContext, request: ProcessRequest): Promise<ProcessEnd> {
  const tree = new TaskTree(ctx.scope, ctx.mark);
  const [out, err] = [await ctx.pipes.take(), await ctx.pipes.take()];
  const child = spawnTree(tree, request, { ctx, out, err });
  const ended = exitOf(child);
  const drained = Promise.all([
    ctx.sink.take(
      'STDOUT',
      out.reader,
      ended.catch(() => {}),
      DRAIN_MS,
    ),
    ctx.sink.take(
      'STDERR',
      err.reader,
      ended.catch(() => {}),
      DRAIN_MS,
    ),
  ]);
  try {
    await Promise.race([knowInit(tree, child), ended]);
    ctx.trees.add(tree);
    const end = await stoppable(ctx, tree, ended);
    tree.kill();
    const { outOfMemory } = tree;
    await gone(ctx.clock, tree);
    await drained;
    return { ...end, outOfMemory };
  } finally {
    tree.kill();
    ctx.trees.delete(tree);
  }
}

interface Wiring {
  readonly ctx: ProcessContext;
  readonly out: OutputPipe;
  readonly err: OutputPipe;
}

function spawnTree(tree: TaskTree, request: ProcessRequest, wiring: Wiring): ChildProcess {
  const { ctx, out, err } = wiring;
  const { user } = request;
  const [file = '', ...args] = tree.wrap(asUser(user, request.argv));
  try {
    // The task may open its output again by name, such as /dev/stderr.
    if (user !== undefined) for (const { writeFd } of [out, err]) fchownSync(writeFd, user.uid, user.gid);
    const child = start(file, args, {
      cwd: request.cwd,
      env: { ...request.env, [RUN_MARK]: ctx.mark },
      detached: true,
      stdio: ['ignore', out.writeFd, err.writeFd, ...(tree.tellsInit ? (['pipe'] as const) : [])],
    });
    if (child.pid !== undefined) tree.started(child.pid);
    return child;
  } catch (cause) {
    out.reader.destroy();
    err.reader.destroy();
    throw cause;
  } finally {
    closeSync(out.writeFd);
    closeSync(err.writeFd);
  }
}

/** How the process itself ended. */
type Exit = Pick<ProcessEnd, 'exitCode' | 'signal'>;

/** Resolves with the end of the process itself; its output may go on. */
function exitOf(child: ChildProcess): Promise<Exit> {
  const { promise, resolve, reject } = deferred<Exit>();
  child.once('error', reject);
  child.once('exit', (code, signal) => {
    resolve(signal === null ? { exitCode: code ?? 0 } : { signal });
  });
  return promise;
}

/** Waits until the tree knows the init of its namespace, where it has one. */
async function knowInit(tree: TaskTree, child: ChildProcess): Promise<void> {
  const source = child.stdio[3];
  if (!tree.tellsInit || !source) return;
  let text = '';
  source.on('data', (data: Buffer) => {
    text += data.toString('latin1');
    if (text.endsWith('\n')) tree.setInit(Number(text));
  });
  await finished(source).catch(() => {});
}

async function stoppable(
  ctx: ProcessContext,
  tree: TaskTree,
  ended: Promise<Exit>,
): Promise<Omit<ProcessEnd, 'outOfMemory'>> {
  let killed = false;
  let timer: Disposable | undefined;
  using _polite = onAbort(ctx.stop.signal, () => {
    killed = true;
    if (ctx.stop.forced.aborted) return;
    tree.signal('SIGTERM');
    tree.thaw();
    timer = ctx.clock.after(GRACE_MS, () => tree.kill());
  });
  using _forced = onAbort(ctx.stop.forced, () => tree.kill());
  try {
    const end = await ended;
    return { ...end, killed };
  } finally {
    timer?.[Symbol.dispose]();
  }
}

async function gone(clock: Clock, tree: TaskTree): Promise<void> {
  const deadline = clock.monotonic() + GONE_MS;
  while (tree.alive && clock.monotonic() < deadline) {
    tree.kill();
    await clock.sleep(GONE_POLL_MS);
  }
}
