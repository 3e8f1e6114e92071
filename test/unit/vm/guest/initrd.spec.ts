import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { expect } from 'chai';
import { cpioArchive } from '../../../../src/vm/guest/cpio.js';
import { buildInitrd } from '../../../../src/vm/guest/initrd.js';
import { INITRD_MODULES } from '../../../../src/vm/guest/initrd-init.js';
import { loadOrder } from '../../../../src/vm/guest/kernel-modules.js';
import { type CpioFile, readCpio } from '../../../support/cpio.js';

const signal = new AbortController().signal;

/** The smallest head of a 64-bit program with so many loaders. */
function program(interpreters: number): Buffer {
  const head = Buffer.alloc(64 + 56);
  head.write('\x7fELF\x02\x01', 'latin1');
  head.writeBigUInt64LE(64n, 32);
  head.writeUInt16LE(56, 54);
  head.writeUInt16LE(1, 56);
  head.writeUInt32LE(interpreters > 0 ? 3 : 1, 64);
  return head;
}

describe('cpioArchive', () => {
  it('gives back what went in, devices and links too, equal bytes for equal content', () => {
    const entries = [
      { path: 'dev', mode: 0o040755 },
      { path: 'dev/console', mode: 0o020600, device: [5, 1] as const },
      { path: 'a', mode: 0o100644, data: Buffer.from('abcde') },
      { path: 'b', mode: 0o120777, data: Buffer.from('a') },
    ];
    const archive = cpioArchive(entries);
    expect(archive.equals(cpioArchive(entries))).to.equal(true);
    const read = readCpio(archive);
    expect(read.map(({ path, mode }) => ({ path, mode }))).to.deep.equal(
      entries.map(({ path, mode }) => ({ path, mode })),
    );
    expect(read[1]?.device).to.deep.equal([5, 1]);
    expect(read[2]?.data.toString()).to.equal('abcde');
  });
});

describe('loadOrder', () => {
  const needs = new Map([
    ['k/virtio_blk.ko', ['k/virtio.ko', 'k/virtio_ring.ko']],
    ['k/virtio.ko', ['k/virtio_ring.ko']],
    ['k/virtio_ring.ko', []],
    ['k/virtio-rng.ko.xz', ['k/virtio.ko', 'k/virtio_ring.ko']],
  ]);

  it('puts what is needed first, whatever the order of the list, and each once', () => {
    const order = loadOrder(needs, new Set(['ext4']), ['virtio_blk', 'ext4', 'virtio_rng']);
    const expected = ['k/virtio_ring.ko', 'k/virtio.ko', 'k/virtio_blk.ko', 'k/virtio-rng.ko.xz'];
    expect(order).to.deep.equal(expected);
  });

  it('names a module that the kernel does not have', () => {
    expect(() => loadOrder(needs, new Set(), ['ext4'])).to.throw(/no module ext4/);
  });
});

describe('buildInitrd', () => {
  let dir: string;

  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'vm-agent-initrd-'));
    await put('busybox', program(0));
    await put('modules.builtin', 'kernel/fs/ext4/ext4.ko\n');
    const modules = INITRD_MODULES.filter((name) => name !== 'ext4');
    const paths = ['virtio_ring', 'virtio', ...modules].map((name) => `kernel/${name}.ko`);
    for (const path of paths) await put(path, `of ${path}`);
    await put('kernel/virtio_ring.ko.gz', gzipSync('unpacked'));
    const lines = modules.map((name) => `kernel/${name}.ko: kernel/virtio.ko kernel/virtio_ring.ko.gz`);
    const first = ['kernel/virtio.ko: kernel/virtio_ring.ko.gz', 'kernel/virtio_ring.ko.gz:'];
    await put('modules.dep', [...lines, ...first].join('\n'));
  });

  afterEach(() => rm(dir, { recursive: true }));

  async function put(path: string, content: string | Buffer): Promise<void> {
    await mkdir(dirname(join(dir, path)), { recursive: true });
    await writeFile(join(dir, path), content);
  }

  async function build(): Promise<ReadonlyMap<string, CpioFile>> {
    const archive = await buildInitrd({ modulesDir: dir, busybox: join(dir, 'busybox') }, signal);
    return new Map(readCpio(archive).map((file) => [file.path, file]));
  }

  it('holds init, busybox with what init calls, a console, and the modules in their order', async () => {
    const files = await build();
    expect(files.get('init')?.mode).to.equal(0o100755);
    expect(files.get('dev/console')?.device).to.deep.equal([5, 1]);
    expect(files.get('bin/switch_root')?.data.toString()).to.equal('busybox');
    const order = files.get('modules')?.data.toString().trim().split('\n');
    expect(order?.slice(0, 3)).to.deep.equal(['virtio_ring.ko', 'virtio.ko', 'virtio_pci.ko']);
    expect(order).to.not.include('ext4.ko');
    expect(files.get('lib/modules/virtio_ring.ko')?.data.toString()).to.equal('unpacked');
  });

  it('has each program that its init calls', async () => {
    const files = await build();
    const words =
      files
        .get('init')
        ?.data.toString()
        .matchAll(/(?:^\s*|\$\(|\|\| |&& )([a-z_]+) /gm) ?? [];
    const own = [
      'await_disk',
      'disk',
      'fail',
      'done',
      'echo',
      'exec',
      'export',
      'for',
      'if',
      'read',
      'while',
    ];
    const called = [...new Set([...words].map(([, word = '']) => word))].filter(
      (word) => !own.includes(word),
    );
    expect(called).to.include.members(['chroot', 'insmod', 'mkdir', 'mount', 'od', 'sleep']);
    expect(called.filter((word) => !files.has(`bin/${word}`))).to.deep.equal([]);
  });

  it('refuses a busybox that needs a loader', async () => {
    await put('busybox', program(1));
    const err = await build().catch((thrown: unknown) => thrown);
    expect(String(err)).to.match(/not a statically linked program; install the package busybox-static/);
  });
});
