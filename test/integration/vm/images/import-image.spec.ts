import { execFileSync } from 'node:child_process';
import { chmodSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { ImageStore } from '../../../../src/vm/images/image-store.js';
import { importImage } from '../../../../src/vm/images/import-image.js';
import { hasTool } from '../../../../src/vm/images/tool.js';
import { cli } from '../../../support/cli.js';

const signal = new AbortController().signal;
const MIB = 1024 ** 2;

describe('importImage', function () {
  this.timeout(60_000);
  let dir: string;
  let store: ImageStore;

  before(function () {
    if (hasTool('qemu-img', process.env)) return;
    console.warn('SKIPPED: importing images: qemu-img is not installed');
    this.skip();
  });
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'import-'));
    store = new ImageStore(join(dir, 'images'));
  });
  afterEach(() => rm(dir, { recursive: true, force: true }));

  const qemuImg = (...args: string[]) => execFileSync('qemu-img', args, { cwd: dir, stdio: 'pipe' });

  /** A raw disk with a boot sector, and something behind it. */
  async function bootDisk(name = 'disk.raw', bytes = 4 * MIB): Promise<string> {
    const disk = Buffer.alloc(bytes);
    disk.writeUInt16LE(0xaa55, 510);
    disk.write('something', 2 * MIB);
    await writeFile(join(dir, name), disk);
    return join(dir, name);
  }

  function take(file: string, name?: string) {
    const named = name === undefined ? {} : { name };
    const options = { store, file, arch: 'x64', env: process.env, ...named };
    return importImage(options, () => {}, signal);
  }

  async function refusal(work: Promise<unknown>): Promise<string> {
    const err = await work.then(
      () => new Error('it was not refused'),
      (thrown: unknown) => thrown,
    );
    expect(err).property('reason').oneOf(['IMAGE_FAILED', 'INVALID_FIELD']);
    expect((await readdir(store.dir).catch(() => [])).filter((name) => name !== 'names.json')).deep.equal([]);
    return (err as Error).message;
  }

  it('takes a raw disk, named by its file', async () => {
    const file = await bootDisk('Debian_12.generic.raw');
    const { manifest, paths } = await take(file);
    expect(manifest).include({ name: 'debian-12-generic', kind: 'cloud', arch: 'x86_64' });
    expect(manifest.virtualSizeBytes).equal(4 * MIB);
    expect(manifest.files).have.keys(['disk']);
    qemuImg('convert', '-O', 'raw', paths.disk, 'back.raw');
    expect((await readFile(join(dir, 'back.raw'))).equals(await readFile(file))).equal(true);
    await store.verify('debian-12-generic', signal);
  });

  it('takes a qcow2 without its snapshots, the same one once', async () => {
    await bootDisk();
    qemuImg('convert', '-O', 'qcow2', 'disk.raw', 'disk.qcow2');
    qemuImg('snapshot', '-c', 'old', 'disk.qcow2');
    const { manifest, paths } = await take(join(dir, 'disk.qcow2'), 'one');
    expect(qemuImg('snapshot', '-l', paths.disk).toString().trim()).equal('');
    expect((await take(join(dir, 'disk.qcow2'), 'two')).manifest.id).equal(manifest.id);
    expect((await store.list()).map(({ names }) => names)).deep.equal([['one', 'two']]);
  });

  it('takes a file with a name that means something to QEMU', async () => {
    const file = await bootDisk('nbd:localhost,file=x:1.raw');
    expect((await take(file, 'odd')).manifest.virtualSizeBytes).equal(4 * MIB);
  });

  it('refuses an image that builds on another file, even one that is not there', async () => {
    await bootDisk();
    qemuImg('create', '-q', '-f', 'qcow2', '-b', 'disk.raw', '-F', 'raw', 'over.qcow2');
    expect(await refusal(take(join(dir, 'over.qcow2')))).contain('it builds on another file');
    qemuImg('create', '-q', '-u', '-f', 'qcow2', '-b', '/etc/shadow', '-F', 'raw', 'spy.qcow2', '1M');
    expect(await refusal(take(join(dir, 'spy.qcow2')))).contain('it builds on another file');
  });

  it('refuses an image whose data is in another file', async () => {
    qemuImg('create', '-q', '-f', 'qcow2', '-o', 'data_file=data.raw', 'apart.qcow2', '4M');
    expect(await refusal(take(join(dir, 'apart.qcow2')))).contain('its data is in another file');
  });

  it('refuses an encrypted image', async () => {
    const secret = ['--object', 'secret,id=s,data=secret'];
    // The old format: the newer one measures the processor, which it refuses to do on a busy host.
    const aes = 'encrypt.format=aes,encrypt.key-secret=s';
    qemuImg('create', '-q', ...secret, '-f', 'qcow2', '-o', aes, 'locked.qcow2', '4M');
    expect(await refusal(take(join(dir, 'locked.qcow2')))).contain('it is encrypted');
  });

  it('refuses other formats, and says how to convert them', async () => {
    await bootDisk();
    qemuImg('convert', '-O', 'vmdk', 'disk.raw', 'disk.vmdk');
    const message = await refusal(take(join(dir, 'disk.vmdk')));
    expect(message).contain('its format is vmdk; convert it first: qemu-img convert -O qcow2 FILE NEW');
  });

  it('refuses a truncated image', async () => {
    await bootDisk();
    qemuImg('convert', '-O', 'qcow2', 'disk.raw', 'disk.qcow2');
    for (const bytes of [70, 5000, 66_000, 200_000]) {
      await truncate(join(dir, 'disk.qcow2'), bytes);
      expect(await refusal(take(join(dir, 'disk.qcow2'))), String(bytes)).match(
        /cannot be imported|qemu-img failed/,
      );
    }
  });

  it('refuses what no machine could start from', async () => {
    await writeFile(join(dir, 'text.img'), 'x'.repeat(2 * MIB));
    expect(await refusal(take(join(dir, 'text.img')))).contain('it has no boot sector');
    await writeFile(join(dir, 'small.img'), 'hello');
    expect(await refusal(take(join(dir, 'small.img')))).contain('1 MiB to 1 TiB are possible');
    qemuImg('create', '-q', '-f', 'qcow2', 'empty.qcow2', '10M');
    expect(await refusal(take(join(dir, 'empty.qcow2')))).contain('it has no boot sector');
  });

  it('refuses what is no file, and what cannot be a name', async () => {
    expect(await refusal(take(join(dir, 'none.qcow2')))).equal(`file: ${dir}/none.qcow2 does not exist`);
    expect(await refusal(take(dir, 'x'))).contain('is not a file');
    expect(await refusal(take('/dev/zero', 'x'))).contain('is not a file');
    await symlink('nowhere', join(dir, 'dangling'));
    expect(await refusal(take(join(dir, 'dangling')))).contain('does not exist');
    expect(await refusal(take(await bootDisk('---.raw')))).contain('name: 1 to 63 characters');
    if (process.getuid?.() !== 0) {
      chmodSync(await bootDisk(), 0);
      expect(await refusal(take(join(dir, 'disk.raw')))).contain('may not be read');
    }
  });

  it('is a command', async () => {
    const file = await bootDisk();
    const env = { ...process.env, VM_AGENT_HOME: dir };
    const done = await cli(['image', 'import', file, '--name', 'mine', '--json'], { env });
    expect(done.code, done.stderr).equal(0);
    expect(JSON.parse(done.stdout)).include({ name: 'mine', kind: 'cloud' });
    expect(done.stderr).contain(`reading ${file}`);
    const refused = await cli(['image', 'import', join(dir, 'none')], { env });
    expect(refused).include({ code: 2, stdout: '' });
  });
});
