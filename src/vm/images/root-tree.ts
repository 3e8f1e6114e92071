import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { HubError } from '../../model/hub-error.js';
import type { AptSetup } from './apt-host.js';
import { DPKG_OPTIONS, type OverlayFile } from './recipe.js';
import { hasTool, requireTools, runTool, type ToolOptions } from './tool.js';

/** What goes into a tree. */
export interface TreePlan {
  readonly suite: string;
  readonly packages: readonly string[];
  readonly apt: AptSetup;
  readonly overlay: readonly OverlayFile[];
  /** Shell script that runs in the new root once everything else is there. */
  readonly setup: string;
  /** Whether the kernel gets an initrd of Debian's, which takes its time. */
  readonly initramfs: boolean;
}

/** A complete root file system in a directory. */
export interface RootTree {
  readonly dir: string;
  /** Words before a command that is to see the owners of its files. */
  readonly as: readonly string[];
}

/** How mmdebstrap can work as this user. */
export type TreeMode = 'root' | 'unshare' | 'fakechroot';

/** The user that builds: number and login name. */
export interface Builder {
  readonly uid: number;
  readonly name: string;
}

/** Heeded by the kernel package of Debian. */
const NO_INITRAMFS = { INITRD: 'No' };
/** Says within seconds that a package does not exist; mmdebstrap itself would install the others first. */
const CHECK_PACKAGES =
  'APT_CONFIG="$MMDEBSTRAP_APT_CONFIG" apt-get --simulate --quiet install $(echo "$MMDEBSTRAP_INCLUDE" | tr , " ") >/dev/null';
const OVERLAY = 'overlay.tar';
const TREE = 'tree';
const TREE_TAR = 'tree.tar';
const FAKEROOT_STATE = 'fakeroot.state';

/**
 * The way in which this user can make a tree.
 *
 * @throws HubError TOOL_MISSING with the commands that mend it.
 */
export async function treeMode(builder: Builder, env: NodeJS.ProcessEnv): Promise<TreeMode> {
  if (builder.uid === 0) {
    requireTools(['mmdebstrap', 'setpriv', 'unshare', 'tar'], env);
    return 'root';
  }
  requireTools(['mmdebstrap', 'tar', 'fakeroot'], env);
  const ranges = await Promise.all(['/etc/subuid', '/etc/subgid'].map((file) => hasRange(file, builder)));
  if (ranges.every((range) => range) && hasTool('newuidmap', env)) return 'unshare';
  if (hasTool('fakechroot', env)) return 'fakechroot';
  const message = `only root can build images here, because ${builder.name} has no user ids to lend; as root: apt-get install uidmap && usermod --add-subuids 100000-165535 --add-subgids 100000-165535 ${builder.name}; or: apt-get install fakechroot`;
  throw new HubError('TOOL_MISSING', message, { metadata: { packages: 'uidmap' } });
}

/** Makes a root file system below `options.cwd`. */
export async function makeTree(mode: TreeMode, plan: TreePlan, options: DraftOptions): Promise<RootTree> {
  await writeOverlay(plan, options);
  const tools = plan.initramfs ? options : { ...options, extraEnv: NO_INITRAMFS };
  if (mode === 'root') {
    // In namespaces of its own that end with this process: a build that is killed leaves neither processes nor mounts.
    const apart = ['--mount', '--pid', '--fork', '--kill-child', '--mount-proc', '--'];
    const words = ['unshare', ...apart, 'mmdebstrap', ...debstrapArgs(mode, plan, TREE)];
    // What it leaves in its TMPDIR when it is ended goes with the draft.
    const extraEnv = { ...tools.extraEnv, TMPDIR: options.cwd };
    const named = { ...tools, extraEnv, calledAs: 'mmdebstrap' };
    await runTool('setpriv', ['--pdeathsig', 'KILL', '--', ...words], named);
    return { dir: join(options.cwd, TREE), as: [] };
  }
  await runTool('mmdebstrap', debstrapArgs(mode, plan, TREE_TAR), tools);
  return unpackTree(options);
}

/** Options of tools that work in a draft. */
export type DraftOptions = ToolOptions & { readonly cwd: string };

function debstrapArgs(mode: TreeMode, plan: TreePlan, target: string): readonly string[] {
  const { suite, packages, apt } = plan;
  return [
    `--mode=${mode}`,
    '--variant=minbase',
    `--include=${packages.join(',')}`,
    ...[...apt.options, ...apt.buildOptions, 'Acquire::Languages "none";'].map((line) => `--aptopt=${line}`),
    // A build that is interrupted is thrown away: nothing has to reach the disk on the way.
    ...['force-unsafe-io', ...DPKG_OPTIONS].map((option) => `--dpkgopt=${option}`),
    // Fixed texts: mmdebstrap gives them to a shell.
    `--extract-hook=${CHECK_PACKAGES}`,
    `--customize-hook=tar-in ${OVERLAY} /`,
    '--customize-hook=chroot "$1" sh /root/vm-agent-setup',
    '--customize-hook=rm "$1/root/vm-agent-setup"',
    '--',
    suite,
    target,
    ...apt.sources,
  ];
}

/** Unpacks the tree as if it were done by root, so that its owners get into the disk. */
async function unpackTree(options: DraftOptions): Promise<RootTree> {
  const dir = join(options.cwd, TREE);
  await mkdir(dir);
  const unpack = [
    'tar',
    '--extract',
    '--file',
    TREE_TAR,
    '--directory',
    TREE,
    '--numeric-owner',
    '--exclude=./dev/*',
  ];
  await runTool('fakeroot', ['-s', FAKEROOT_STATE, '--', ...unpack], options);
  return { dir, as: ['fakeroot', '-i', FAKEROOT_STATE, '--'] };
}

async function writeOverlay(plan: TreePlan, options: DraftOptions): Promise<void> {
  const all = [...plan.overlay, { path: 'root/vm-agent-setup', text: plan.setup }];
  for (const { path, text, mode = 0o644 } of all) {
    const target = join(options.cwd, 'overlay', path);
    await mkdir(dirname(target), { recursive: true });
    await writeFile(target, text, { mode });
  }
  const owner = ['--owner=0', '--group=0', '--numeric-owner', '--sort=name'];
  const names = all.map(({ path }) => path);
  await runTool(
    'tar',
    ['--create', '--file', OVERLAY, ...owner, '--directory', 'overlay', '--', ...names],
    options,
  );
}

async function hasRange(file: string, { uid, name }: Builder): Promise<boolean> {
  const text = await readFile(file, 'utf8').catch(() => '');
  return text.split('\n').some((line) => {
    const [who, , count] = line.split(':');
    return (who === name || who === String(uid)) && Number(count) >= 65_536;
  });
}
