import { existsSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { type MachinePaths, ROOT_PARTS } from './machine-files.js';

/** One mount: `bind` or `rbind` source to target, or `ro` to make a target read-only. */
export type MountStep = readonly ['bind' | 'rbind' | 'ro', source: string, target: string];

/** A path that is the machine's own, and the part of its `root` that it shows. */
export interface PrivatePath {
  readonly target: string;
  readonly part: string;
}

/** What a machine sees where. */
export interface View {
  readonly privatePaths: readonly PrivatePath[];
  /** Directories of the host that stay visible, read-only, also where they lie below hidden paths. */
  readonly visible: readonly string[];
  /** Directory of the agent door's socket, shown at {@link DOOR_DIR}; absent when the door is no socket. */
  readonly doorDir?: string;
}

/** Where the machine finds its state, config and console. */
export const MACHINE_MNT = '/mnt';
/** Where the machine finds the agent door's socket. */
export const DOOR_DIR = '/mnt/door';

/**
 * Own paths of a machine on this host, parents before children: those of /opt, /srv and /tmp that exist, so that
 * nothing is made on the host, and the home.
 */
export function privatePathsFor(home: string): readonly PrivatePath[] {
  const fixed = Object.keys(ROOT_PARTS).filter((part) => part !== 'home' && existsSync(`/${part}`));
  const paths = [...fixed.map((part) => ({ part, target: `/${part}` })), { part: 'home', target: home }];
  return paths.sort((a, b) => a.target.length - b.target.length);
}

/** The home inside machines: the user's, or one below /tmp for a user who has none. */
export function machineHome(userHome: string): string {
  return userHome === '/' || !existsSync(userHome) ? '/tmp/home' : userHome;
}

/**
 * The mounts that make a machine's view, in order. First everything that is needed is bound below the machine's
 * directory and that to /mnt, because the private paths may hide where it lies.
 */
export function mountPlan(paths: MachinePaths, view: View): readonly MountStep[] {
  const kept = hiddenOf(view);
  return [
    ...(view.doorDir === undefined ? [] : readOnly('bind', view.doorDir, join(paths.mnt, 'door'))),
    ...kept.flatMap((path, i) => readOnly('rbind', path, join(paths.mnt, 'keep', String(i)))),
    ['rbind', paths.dir, MACHINE_MNT],
    ...view.privatePaths.map(
      ({ target, part }): MountStep => ['bind', join(MACHINE_MNT, 'root', part), target],
    ),
    ['rbind', join(MACHINE_MNT, 'mnt'), MACHINE_MNT],
    ...kept.map((path, i): MountStep => ['rbind', join(MACHINE_MNT, 'keep', String(i)), path]),
  ];
}

/** Whether a path lies below a directory, or is it. */
export function isInside(path: string, dir: string): boolean {
  const way = relative(dir, path);
  return way !== '..' && !way.startsWith('../');
}

/**
 * Directories that Node.js needs: its prefix, which holds npm too; only parts of it when a private path lies in
 * the prefix, because binding that would bring the host's files back.
 */
export function nodeDirs(nodePath: string, privatePaths: readonly PrivatePath[]): readonly string[] {
  const prefix = dirname(dirname(nodePath));
  const whole = !privatePaths.some(({ target }) => isInside(target, prefix));
  return whole ? [prefix] : [join(prefix, 'bin'), join(prefix, 'lib', 'node_modules')];
}

/** Those visible paths that lie below a hidden one, parents before children. */
function hiddenOf(view: View): readonly string[] {
  const hiding = [MACHINE_MNT, ...view.privatePaths.map(({ target }) => target)];
  const hidden = view.visible.filter((path) => hiding.some((target) => isInside(path, target)));
  return [...new Set(hidden)].filter((path) => existsSync(path)).sort((a, b) => a.length - b.length);
}

function readOnly(kind: 'bind' | 'rbind', source: string, target: string): readonly MountStep[] {
  return [
    [kind, source, target],
    ['ro', '-', target],
  ];
}
