import { mkdir, open, readFile, rm, stat } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { systemClock } from '../../base/clock.js';
import { isErrno } from '../../base/errno.js';
import { HubError } from '../../model/hub-error.js';
import { checkName } from '../../model/names.js';
import { withDeadline } from '../deadline.js';
import { checkBootSector, inspectDisk } from './disk-info.js';
import { completeDraft, DISK_FILE, describeFile } from './draft-image.js';
import type { ImageStore, StoredImage } from './image-store.js';
import { architectureOf } from './recipe.js';
import { refuseWithoutRoom, withDraft } from './store-lock.js';
import { type Report, requireTools, runTool, type ToolOptions } from './tool.js';

const IMPORT_MS = 60 * 60_000;

/** What to import. */
export interface ImportOptions {
  readonly store: ImageStore;
  /** A cloud image, qcow2 or raw, with its own bootloader and cloud-init. */
  readonly file: string;
  /** Default: made of the file's name. */
  readonly name?: string;
  /** Processor by Node's name, `process.arch`. */
  readonly arch: string;
  readonly env: NodeJS.ProcessEnv;
}

/**
 * Takes an ordinary cloud image into the store. The file itself is only read.
 *
 * @throws HubError INVALID_FIELD, TOOL_MISSING, DISK_FULL, IMAGE_FAILED, ILLEGAL_STATE (an image is being made).
 */
export async function importImage(
  options: ImportOptions,
  report: Report,
  signal: AbortSignal,
): Promise<StoredImage> {
  const { store, env } = options;
  const file = resolve(options.file);
  const name = checkName('name', options.name ?? nameOf(file));
  const arch = architectureOf(options.arch).machine;
  await checkFile(options.file, file);
  requireTools(['qemu-img'], env);
  const limit = { what: `import of image ${name}`, deadlineMs: IMPORT_MS };
  return withDeadline(systemClock, limit, [signal], (limited) =>
    withDraft(store.dir, async (draft) => {
      const image = join(draft, 'image');
      await mkdir(image);
      report(`reading ${file}`);
      const virtualSizeBytes = await copyDisk(file, image, { env, signal: limited });
      report('checking it in');
      const manifest = await completeDraft(image, {
        schema: 1,
        name,
        kind: 'cloud',
        arch,
        createMs: systemClock.now(),
        description: `imported from ${basename(file)}`.slice(0, 200),
        virtualSizeBytes,
        files: { disk: await describeFile(image, DISK_FILE, limited) },
      });
      return store.add(image, manifest, limited);
    }),
  );
}

async function copyDisk(file: string, image: string, tools: ToolOptions): Promise<number> {
  const { format, virtualSizeBytes, allocatedBytes } = await inspectDisk(file, tools);
  await refuseWithoutRoom(image, allocatedBytes);
  checkBootSector(file, await firstSector(file, format, image, tools));
  const target = join(image, DISK_FILE);
  await runTool('qemu-img', ['convert', '-f', format, '-O', 'qcow2', '--', file, target], tools);
  return virtualSizeBytes;
}

async function firstSector(file: string, format: string, dir: string, tools: ToolOptions): Promise<Buffer> {
  const out = join(dir, 'sector');
  const operands = ['bs=512', 'count=1', `if=${file}`, `of=${out}`];
  await runTool('qemu-img', ['dd', '-f', format, '-O', 'raw', ...operands], tools);
  const sector = await readFile(out);
  await rm(out);
  return sector;
}

/** Says what is wrong with a file before a tool does it in its own words. */
async function checkFile(asked: string, file: string): Promise<void> {
  try {
    if (!(await stat(file)).isFile()) throw badFile(asked, 'is not a file');
    await (await open(file, 'r')).close();
  } catch (err) {
    if (isErrno(err, 'ENOENT', 'ENOTDIR')) throw badFile(asked, 'does not exist');
    if (isErrno(err, 'EACCES', 'EPERM')) throw badFile(asked, 'may not be read by this user');
    throw err;
  }
}

function badFile(file: string, problem: string): HubError {
  return HubError.invalid({ field: 'file', description: `${file} ${problem}` });
}

/** `debian-12-genericcloud-amd64.qcow2` -> `debian-12-genericcloud-amd64` */
function nameOf(file: string): string {
  const words = basename(file)
    .toLowerCase()
    .replace(/\.(qcow2|img|raw)$/, '')
    .replace(/[^a-z0-9]+/g, '-');
  return words.replace(/^-+/, '').slice(0, 63).replace(/-+$/, '');
}
