import { existsSync } from 'node:fs';
import { open, readFile, rename, rm, truncate, writeFile } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { hostApt } from '../../src/vm/images/apt-host.js';
import { makeTree, treeMode } from '../../src/vm/images/root-tree.js';
import { withDraft } from '../../src/vm/images/store-lock.js';
import { requireTools, runTool } from '../../src/vm/images/tool.js';
import { cacheFor } from './test-image.js';

const MIB = 1024 * 1024;
const SECTOR = 512;
const PARTITION_AT = MIB;
const DISK_BYTES = 2048 * MIB;
const BUILD_MS = 10 * 60_000;

const PACKAGES = [
  'systemd-sysv',
  'systemd-resolved',
  'udev',
  'dbus',
  'kmod',
  'iproute2',
  'procps',
  'sudo',
  'cloud-init',
  'cloud-guest-utils',
  'fdisk',
  'initramfs-tools',
  'zstd',
  'linux-image-cloud-amd64',
  'grub-pc-bin',
];

const GRUB_CONFIG = `serial --unit=0
terminal_output serial
set timeout=0
menuentry debian {
  linux /vmlinuz root=LABEL=cloudimg-root ro console=ttyS0
  initrd /initrd.img
}
`;

/** GRUB as `grub-install` would put it there, without needing the disk. */
const SETUP = `set -eu
mkdir -p /boot/grub/i386-pc
cp /usr/lib/grub/i386-pc/*.mod /boot/grub/i386-pc/
grub-mkimage -O i386-pc -o /boot/grub/core.img -p '(hd0,msdos1)/boot/grub' biosdisk part_msdos ext2 normal linux serial terminal
`;

/**
 * An ordinary cloud image, as a qcow2 file: partitioned, with GRUB, cloud-init and a kernel that needs its initrd, and
 * without anything of ours. Like Debian's smallest one it has no service that would set up its network by itself.
 * Built once and kept between runs.
 *
 * @throws HubError TOOL_MISSING where this host cannot build images.
 */
export async function cloudImage(): Promise<string> {
  const dir = await cacheFor('cloud', [PACKAGES, GRUB_CONFIG, SETUP].join('\0'));
  const image = join(dir, 'cloud.qcow2');
  if (existsSync(image)) return image;
  const { uid, username } = userInfo();
  const mode = await treeMode({ uid, name: username }, process.env);
  requireTools(['mke2fs', 'qemu-img'], process.env);
  console.warn('building a cloud image, which is kept for the next time');
  await withDraft(dir, async (draft) => {
    const tools = { cwd: draft, env: process.env, signal: AbortSignal.timeout(BUILD_MS) };
    const overlay = [
      { path: 'boot/grub/grub.cfg', text: GRUB_CONFIG },
      { path: 'etc/fstab', text: 'LABEL=cloudimg-root / ext4 rw,discard,errors=remount-ro 0 1\n' },
      { path: 'etc/hostname', text: 'localhost\n' },
      { path: 'etc/resolv.conf', text: '' },
    ];
    const apt = await hostApt('bookworm', tools);
    const plan = { suite: 'bookworm', packages: PACKAGES, apt, overlay, setup: SETUP, initramfs: true };
    const tree = await makeTree(mode, plan, tools);
    const disk = join(draft, 'disk.raw');
    await writeFile(disk, '');
    await truncate(disk, DISK_BYTES);
    const place = `offset=${PARTITION_AT},lazy_itable_init=0,lazy_journal_init=0,assume_storage_prezeroed=1`;
    const shape = ['-q', '-t', 'ext4', '-L', 'cloudimg-root', '-E', place, '-d', tree.dir];
    const kibibytes = `${(DISK_BYTES - PARTITION_AT) / 1024}k`;
    const [file = '', ...args] = [...tree.as, 'mke2fs', ...shape, disk, kibibytes];
    await runTool(file, args, tools);
    await installGrub(tree.dir, disk);
    const made = join(draft, 'cloud.qcow2');
    await runTool('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', disk, made], tools);
    await rename(made, image);
  }).catch(async (err: unknown) => {
    await rm(image, { force: true });
    throw err;
  });
  return image;
}

/** Boot sector and partition table, and GRUB's core in the gap behind them, which is where the sector looks. */
async function installGrub(tree: string, disk: string): Promise<void> {
  const boot = await readFile(join(tree, 'usr/lib/grub/i386-pc/boot.img'));
  const core = await readFile(join(tree, 'boot/grub/core.img'));
  const sector = Buffer.alloc(SECTOR);
  boot.copy(sector, 0, 0, 446);
  Buffer.from([0x80, 0, 2, 0, 0x83, 0xff, 0xff, 0xff]).copy(sector, 446);
  sector.writeUInt32LE(PARTITION_AT / SECTOR, 454);
  sector.writeUInt32LE((DISK_BYTES - PARTITION_AT) / SECTOR, 458);
  sector.writeUInt16LE(0xaa55, 510);
  const handle = await open(disk, 'r+');
  try {
    await handle.write(Buffer.concat([sector, core]), 0, SECTOR + core.length, 0);
  } finally {
    await handle.close();
  }
}
