import { readFile } from 'node:fs/promises';
import { HubError } from '../../model/hub-error.js';
import { type CpioEntry, cpioArchive } from './cpio.js';
import { INITRD_INIT, INITRD_MODULES } from './initrd-init.js';
import { readModules } from './kernel-modules.js';

const DIRECTORY = 0o040755;
const PROGRAM = 0o100755;
const FILE = 0o100644;
const LINK = 0o120777;
const CHARACTER_DEVICE = 0o020600;
const CONSOLE = [5, 1] as const;
const NULL = [1, 3] as const;
/** Type of a program header that names a dynamic loader. */
const ELF_INTERPRETER = 3;

const DIRECTORIES = ['bin', 'dev', 'lib', 'lib/modules', 'proc', 'root', 'run', 'sys'];
/** What the init and the runtime disk's part of it call. */
const APPLETS =
  'cat chmod chroot cp cut date echo grep head insmod ip ln ls mkdir mount mv od poweroff readlink rm sed sh sleep switch_root sync tr umount';

/** What {@link buildInitrd} is made of. */
export interface InitrdOptions {
  /** Directory of the image's kernel modules, `lib/modules/RELEASE`, with `modules.dep`. */
  readonly modulesDir: string;
  /** A statically linked busybox for the image's processor (Debian: `/bin/busybox` of busybox-static). */
  readonly busybox: string;
}

/**
 * The initrd of an own image: small, uncompressed (unpacking costs more than reading where the processor is emulated),
 * equal for equal input, and made without any rights. What it does is in {@link INITRD_INIT}.
 *
 * @throws HubError VM_FAILED when a module is missing, or busybox is not static.
 */
export async function buildInitrd(options: InitrdOptions, signal: AbortSignal): Promise<Buffer> {
  const { modulesDir, busybox } = options;
  const program = await readFile(busybox);
  if (!isStatic(program)) {
    const message = `${busybox} is not a statically linked program; install the package busybox-static`;
    throw new HubError('VM_FAILED', message, { metadata: { program: busybox } });
  }
  const modules = await readModules(modulesDir, INITRD_MODULES, signal);
  const files = modules.map(({ name }) => `${name}.ko`);
  return cpioArchive([
    ...DIRECTORIES.map((path) => ({ path, mode: DIRECTORY })),
    { path: 'dev/console', mode: CHARACTER_DEVICE, device: CONSOLE },
    { path: 'dev/null', mode: CHARACTER_DEVICE | 0o066, device: NULL },
    { path: 'bin/busybox', mode: PROGRAM, data: program },
    ...APPLETS.split(' ').map(
      (name): CpioEntry => ({ path: `bin/${name}`, mode: LINK, data: Buffer.from('busybox') }),
    ),
    ...modules.map(({ name, data }): CpioEntry => ({ path: `lib/modules/${name}.ko`, mode: FILE, data })),
    { path: 'modules', mode: FILE, data: Buffer.from(files.map((file) => `${file}\n`).join('')) },
    { path: 'init', mode: PROGRAM, data: Buffer.from(INITRD_INIT) },
  ]);
}

/** A 64-bit little-endian program without a dynamic loader. */
function isStatic(program: Buffer): boolean {
  if (program.subarray(0, 6).toString('latin1') !== '\x7fELF\x02\x01') return false;
  const start = Number(program.readBigUInt64LE(32));
  const [size, count] = [program.readUInt16LE(54), program.readUInt16LE(56)];
  const types = Array.from({ length: count }, (_, i) => program.readUInt32LE(start + i * size));
  return !types.includes(ELF_INTERPRETER);
}
