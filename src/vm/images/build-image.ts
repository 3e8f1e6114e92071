import { copyFile, mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { systemClock } from '../../base/clock.js';
import { HubError } from '../../model/hub-error.js';
import { checkName } from '../../model/names.js';
import { withDeadline } from '../deadline.js';
import { buildInitrd } from '../guest/initrd.js';
import { checkSuite, hostApt } from './apt-host.js';
import { makeDisk } from './disk.js';
import { completeDraft, DISK_FILE, describeFile } from './draft-image.js';
import { extraAuthorities } from './host-trust.js';
import { DEFAULT_IMAGE, type ImageStore, type StoredImage } from './image-store.js';
import {
  type Architecture,
  architectureOf,
  checkPackages,
  overlayFiles,
  packagesFor,
  SETUP_SCRIPT,
} from './recipe.js';
import {
  type Builder,
  type DraftOptions,
  makeTree,
  type RootTree,
  type TreePlan,
  treeMode,
} from './root-tree.js';
import { refuseWithoutRoom, withDraft } from './store-lock.js';
import { type Report, requireTools } from './tool.js';

/** Debian release of images for which none was asked. */
export const DEFAULT_SUITE = 'bookworm';

/** Room that a build takes at its height, besides what more packages need. */
const NEEDED_BYTES = 2 * 1024 ** 3;
const BUILD_MS = 20 * 60_000;

/** What to build, and for whom. */
export interface BuildOptions {
  readonly store: ImageStore;
  /** Default {@link DEFAULT_IMAGE}. */
  readonly name?: string;
  /** Default {@link DEFAULT_SUITE}. */
  readonly suite?: string;
  /** Packages besides the usual ones. */
  readonly packages?: readonly string[];
  readonly builder: Builder;
  /** Processor by Node's name, `process.arch`. */
  readonly arch: string;
  /** Search path, proxies and package indexes are taken from it. */
  readonly env: NodeJS.ProcessEnv;
}

/** Options that were checked. */
interface Recipe {
  readonly name: string;
  readonly suite: string;
  readonly packages: readonly string[];
  readonly arch: Architecture;
}

/**
 * Builds an image from Debian's packages and puts it into the store. Nothing stays behind when it fails.
 *
 * @throws HubError INVALID_FIELD, TOOL_MISSING, DISK_FULL, IMAGE_FAILED, ILLEGAL_STATE (another build runs).
 */
export async function buildImage(
  options: BuildOptions,
  report: Report,
  signal: AbortSignal,
): Promise<StoredImage> {
  const { store, env, builder } = options;
  const recipe = checkRecipe(options);
  requireTools(['mmdebstrap', 'mke2fs', 'qemu-img'], env);
  const mode = await treeMode(builder, env);
  const limit = { what: `build of image ${recipe.name}`, deadlineMs: BUILD_MS };
  return withDeadline(systemClock, limit, [signal], (limited) =>
    withDraft(store.dir, async (draft) => {
      await refuseWithoutRoom(store.dir, NEEDED_BYTES);
      const tools = { cwd: join(draft, 'work'), env, signal: limited };
      const image = join(draft, 'image');
      for (const dir of [tools.cwd, image]) await mkdir(dir);
      const plan = await planOf(recipe, tools);
      const tree = await makeTree(mode, plan, { ...tools, onLine: progressOf(report) });
      report('writing the disk');
      await writeBoot(tree, image, limited);
      const virtualSizeBytes = await makeDisk(tree, join(image, DISK_FILE), tools);
      report('checking it in');
      return store.add(image, await manifestOf(recipe, image, virtualSizeBytes, limited), limited);
    }),
  );
}

function checkRecipe({ name, suite, packages, arch }: BuildOptions): Recipe {
  return {
    name: checkName('name', name ?? DEFAULT_IMAGE),
    suite: checkSuite(suite ?? DEFAULT_SUITE),
    packages: checkPackages(packages ?? []),
    arch: architectureOf(arch),
  };
}

async function planOf({ suite, packages, arch }: Recipe, tools: DraftOptions): Promise<TreePlan> {
  const apt = await hostApt(suite, tools);
  const overlay = overlayFiles(apt, await extraAuthorities(), tools.env);
  return {
    suite,
    packages: packagesFor(arch, packages),
    apt,
    overlay,
    setup: SETUP_SCRIPT,
    initramfs: false,
  };
}

/** Takes the kernel out of the tree, and makes an initrd of its modules. */
async function writeBoot(tree: RootTree, image: string, signal: AbortSignal): Promise<void> {
  const modules = join(tree.dir, 'usr', 'lib', 'modules');
  const releases = await readdir(modules);
  const [release] = releases;
  if (release === undefined || releases.length > 1) {
    const message = `the image must have exactly one kernel, not ${releases.length} (${releases.join(', ')}); leave other kernels out of the packages`;
    throw new HubError('IMAGE_FAILED', message, { metadata: { kernels: releases.join(',') } });
  }
  // It starts from beside the disk; on the disk it would only take room.
  const kernel = join(tree.dir, 'boot', `vmlinuz-${release}`);
  await copyFile(kernel, join(image, 'kernel'));
  await rm(kernel);
  const busybox = join(tree.dir, 'usr', 'bin', 'busybox');
  await writeFile(
    join(image, 'initrd'),
    await buildInitrd({ modulesDir: join(modules, release), busybox }, signal),
  );
}

async function manifestOf(recipe: Recipe, image: string, virtualSizeBytes: number, signal: AbortSignal) {
  const { name, suite, packages, arch } = recipe;
  const more = packages.length === 0 ? '' : ` with ${packages.join(', ')}`;
  const [disk, kernel, initrd] = await Promise.all(
    [DISK_FILE, 'kernel', 'initrd'].map((path) => describeFile(image, path, signal)),
  );
  if (disk === undefined) throw new Error('the disk was not made');
  return completeDraft(image, {
    schema: 1,
    name,
    kind: 'direct',
    arch: arch.machine,
    createMs: systemClock.now(),
    description: `Debian ${suite}${more}`.slice(0, 200),
    virtualSizeBytes,
    suite,
    packages,
    files: { disk, ...(kernel && { kernel }), ...(initrd && { initrd }) },
  });
}

/** Passes on what mmdebstrap says of its steps. */
function progressOf(report: Report): (line: string) => void {
  return (line) => {
    const step = /^I: ([a-z].{3,80})$/.exec(line)?.[1];
    if (step !== undefined) report(step.replace(/\.\.\.$/, ''));
  };
}
