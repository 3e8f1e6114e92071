import { rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { DraftOptions, RootTree } from './root-tree.js';
import { runTool } from './tool.js';

const MIB = 1024 * 1024;
const SMALLEST = 2048 * MIB;
const STEP = 256 * MIB;
const RAW = 'disk.raw';

/**
 * Puts a tree on a disk without partitions: ext4, label `root`.
 *
 * @param target Where the qcow2 file is to be.
 * @returns the size of the disk as a machine sees it.
 */
export async function makeDisk(tree: RootTree, target: string, options: DraftOptions): Promise<number> {
  const virtualSizeBytes = sizeFor(await usedBytes(tree.dir, options));
  const raw = join(options.cwd, RAW);
  await writeFile(raw, '');
  await truncate(raw, virtualSizeBytes);
  // Tables are written now, so that no machine has to do it behind the scenes.
  const tables = 'lazy_itable_init=0,lazy_journal_init=0,assume_storage_prezeroed=1';
  const shape = ['-q', '-t', 'ext4', '-L', 'root', '-m', '1', '-J', 'size=32', '-E', tables];
  const [file = '', ...args] = [...tree.as, 'mke2fs', ...shape, '-d', tree.dir, raw];
  await runTool(file, args, options);
  await runTool('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', '--', raw, target], options);
  await rm(raw);
  return virtualSizeBytes;
}

/** Room for what is there and a little more; a machine's disk is as large as it asks. */
function sizeFor(used: number): number {
  return Math.max(SMALLEST, Math.ceil((used * 1.25 + 512 * MIB) / STEP) * STEP);
}

async function usedBytes(dir: string, options: DraftOptions): Promise<number> {
  const text = await runTool(
    'du',
    ['--summarize', '--one-file-system', '--block-size=1', '--', dir],
    options,
  );
  return Number.parseInt(text, 10);
}
