import { access, constants, mkdir, readFile, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from '../base/process.js';

/** How far a kill reaches. */
export type KillScopeName = 'pid_namespace' | 'cgroup' | 'process_group';

/** How the processes of a task are kept together. */
export type KillScope =
  | { readonly name: 'pid_namespace'; readonly userNamespace: boolean; readonly startMs: number }
  | { readonly name: 'cgroup'; readonly root: string; readonly startMs: number }
  | { readonly name: 'process_group'; readonly startMs: number };

/** Only the group: works everywhere, and misses processes that left it. */
export const PROCESS_GROUP: KillScope = { name: 'process_group', startMs: 0 };

/**
 * Where memory is short the kernel is to end a task and not the agent, whose protection a task would inherit.
 */
const UNPROTECTED =
  '{ read -r score </proc/self/oom_score_adj && [ "$score" -ge 0 ] || echo 0 >/proc/self/oom_score_adj; } 2>/dev/null';

/**
 * Init of the namespace: it never ends by itself and reaps what is orphaned. Then the command: `nsenter` enters
 * the namespace, waits, and ends exactly as the command ended, by the same code or the same signal (`unshare
 * --fork` does not, for SIGKILL). File descriptor 3 tells the agent the number of the init.
 */
const NAMESPACE_SCRIPT = `
sh -c 'trap "" TERM INT HUP QUIT; while :; do sleep 100000 & wait; done' 3>&- </dev/null >/dev/null 2>&1 &
echo $! >&3
${UNPROTECTED}
exec 3>&- nsenter --pid=/proc/self/ns/pid_for_children -- unshare --mount-proc -- "$@"`;

/** Moves itself into a cgroup (its first argument) and becomes the command. */
const CGROUP_SCRIPT = `echo 0 >"$1/cgroup.procs" || exit 125
shift
${UNPROTECTED}
exec "$@"`;

const KEEP_USER = ['--user', '--map-current-user', '--keep-caps'];
const DROP_CAPS = ['setpriv', '--inh-caps=-all', '--ambient-caps=-all', '--'];

/** Command line that runs `argv` as the first command of a PID namespace of its own. */
export function namespaceArgv(argv: readonly string[], userNamespace: boolean): readonly string[] {
  const [user, drop] = userNamespace ? [KEEP_USER, DROP_CAPS] : [[], []];
  return ['unshare', ...user, '--pid', '--', 'sh', '-c', NAMESPACE_SCRIPT, 'sh', ...drop, ...argv];
}

/** Command line that runs `argv` inside a cgroup. */
export function cgroupArgv(argv: readonly string[], cgroup: string): readonly string[] {
  return ['sh', '-c', CGROUP_SCRIPT, 'sh', cgroup, ...argv];
}

/** What {@link findKillScope} is told. */
export interface KillScopeOptions {
  /** User id of the agent. */
  readonly uid: number;
  /** Directory in which cgroups may be made, when it is known. Default: the agent's own cgroup. */
  readonly cgroupRoot?: string;
}

/**
 * Tries out, once, what this host allows: a PID namespace, else a cgroup, else a process group. An agent that may
 * use sudo gets no user namespace, because sudo does not work inside one.
 */
export async function findKillScope(options: KillScopeOptions): Promise<KillScope> {
  const asRoot = options.uid === 0 ? await tryNamespace(false) : undefined;
  if (asRoot !== undefined) return asRoot;
  const cgroup = await tryCgroup(options.cgroupRoot);
  if (cgroup !== undefined) return cgroup;
  if (options.uid !== 0 && !(await maySudo())) return (await tryNamespace(true)) ?? PROCESS_GROUP;
  return PROCESS_GROUP;
}

async function tryNamespace(userNamespace: boolean): Promise<KillScope | undefined> {
  const probe = namespaceArgv(['sh', '-c', 'test -e /proc/2 && kill -KILL $$'], userNamespace);
  const before = performance.now();
  // The shell's init writes to descriptor 3, which `run` does not have: it becomes standard error here.
  const result = await attempt('sh', ['-c', 'exec "$@" 3>&2', 'sh', ...probe]);
  const init = Number(result?.stderr.trim());
  if (Number.isInteger(init) && init > 1) await attempt('kill', ['-KILL', String(init)]);
  if (result?.signal !== 'SIGKILL') return undefined;
  return { name: 'pid_namespace', userNamespace, startMs: performance.now() - before };
}

async function tryCgroup(given: string | undefined): Promise<KillScope | undefined> {
  const root = given ?? (await ownCgroup());
  if (root === undefined) return undefined;
  const probe = join(root, `probe-${process.pid}`);
  const before = performance.now();
  try {
    await mkdir(probe);
    await access(join(probe, 'cgroup.kill'), constants.W_OK);
    const [file = '', ...args] = cgroupArgv(['true'], probe);
    if ((await run(file, args)).code !== 0) return undefined;
    return { name: 'cgroup', root, startMs: performance.now() - before };
  } catch {
    return undefined;
  } finally {
    await rmdir(probe).catch(() => {});
  }
}

/** The agent's own cgroup (version 2), where there is one. */
async function ownCgroup(): Promise<string | undefined> {
  const text = await readFile('/proc/self/cgroup', 'utf8').catch(() => '');
  const own = /^0::(\/.+)$/m.exec(text)?.[1];
  return own === undefined ? undefined : join('/sys/fs/cgroup', own);
}

async function maySudo(): Promise<boolean> {
  return (await attempt('sudo', ['-n', 'true']))?.code === 0;
}

async function attempt(file: string, args: readonly string[]) {
  try {
    return await run(file, args, { timeoutMs: 5000 });
  } catch {
    return undefined;
  }
}
