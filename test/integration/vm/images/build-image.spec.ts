import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { buildImage } from '../../../../src/vm/images/build-image.js';
import { ImageStore } from '../../../../src/vm/images/image-store.js';
import { cli } from '../../../support/cli.js';
import { SmallDisk } from '../../../support/small-disk.js';
import { testImage } from '../../../support/test-image.js';

const signal = new AbortController().signal;
const ME = { uid: process.getuid?.() ?? 1, name: 'me' };

async function thrown(work: Promise<unknown>): Promise<unknown> {
  return work.then(
    () => new Error('it was not refused'),
    (err: unknown) => err,
  );
}

describe('buildImage', function () {
  this.timeout(900_000);
  let images: string;
  let home: string;

  before(async function () {
    const dir = await testImage();
    if (dir === undefined) this.skip();
    images = dir;
  });
  beforeEach(async () => {
    home = await mkdtemp(join(tmpdir(), 'build-'));
  });
  afterEach(() => rm(home, { recursive: true, force: true }));

  function build(dir: string, env: NodeJS.ProcessEnv, abort = signal, report = (_: string) => {}) {
    return buildImage({ store: new ImageStore(dir), builder: ME, arch: process.arch, env }, report, abort);
  }

  describe('an image', () => {
    let raw: string;

    before(async () => {
      raw = join(await mkdtemp(join(tmpdir(), 'image-')), 'raw');
      const { paths } = await new ImageStore(images).verify('default', signal);
      execFileSync('qemu-img', ['convert', '-O', 'raw', '--', paths.disk, raw]);
    });
    after(() => rm(join(raw, '..'), { recursive: true, force: true }));

    /** Looks into the disk without mounting it. */
    function look(request: string): string {
      const env = { PATH: `${process.env.PATH}:/usr/sbin:/sbin` };
      return execFileSync('debugfs', ['-R', request, raw], { env, stdio: 'pipe' }).toString();
    }

    it('has a disk, a kernel and an initrd that are what the manifest says', async () => {
      const { manifest } = await new ImageStore(images).verify('default', signal);
      expect(manifest).include({ kind: 'direct', suite: 'bookworm', name: 'default' });
      expect(Object.keys(manifest.files)).have.members(['disk', 'kernel', 'initrd']);
      expect(manifest.virtualSizeBytes).equal(2 * 1024 ** 3);
    });

    it('has the user agent with password-less sudo, whose are /opt and /srv', () => {
      expect(look('cat /etc/passwd')).match(/^agent:x:1000:1000:[^:]*:\/home\/agent:\/bin\/bash$/m);
      for (const path of ['/home/agent', '/opt', '/srv']) expect(look(`stat ${path}`)).match(/User: +1000 /);
      expect(look('cat /etc/sudoers.d/vm-agent')).contain('agent ALL=(ALL:ALL) NOPASSWD: ALL');
      expect(look('stat /etc/sudoers.d/vm-agent')).match(/Mode: +0440/);
      expect(look('stat /usr/bin/sudo')).match(/Mode: +04755[\s\S]*User: +0 /);
    });

    it('has the programs that people expect', () => {
      const programs = ['git', 'curl', 'python3', 'python', 'pip3', 'sudo', 'ssh', 'ps', 'ip', 'busybox'];
      for (const name of programs) expect(look(`stat /usr/bin/${name}`), name).contain('Inode:');
      expect(look('ls -p /usr/lib/modules')).match(/\/\d+\.\d+[^/]*cloud[^/]*\//);
    });

    it('is as closed or open to the world as its host', () => {
      expect(look('cat /etc/resolv.conf')).contain('nameserver 10.0.2.3');
      expect(look('cat /etc/apt/sources.list')).match(/^deb \S+ bookworm main$/m);
      expect(look('cat /etc/pip.conf')).contain('break-system-packages = true');
      // As many certificates as this host has, and those of Debian that it may have left out.
      const count = (text: string) => text.split('BEGIN CERTIFICATE').length;
      const bundle = '/etc/ssl/certs/ca-certificates.crt';
      expect(count(look(`cat ${bundle}`))).least(
        existsSync(bundle) ? count(execFileSync('cat', [bundle]).toString()) : 2,
      );
    });

    it('has nothing of the host that is not meant for it', () => {
      expect(look('cat /etc/hostname')).equal('vm-agent\n');
      expect(look('cat /etc/machine-id').trim()).equal('');
      expect(look('ls -p /root')).not.contain('vm-agent-setup');
      expect(look('ls -p /boot')).not.contain('vmlinuz');
    });
  });

  it('leaves nothing behind when it is ended, and removes what a killed one left', async () => {
    const dir = join(home, 'images');
    await mkdir(join(dir, 'draft-killed', 'work'), { recursive: true });
    const abort = new AbortController();
    const reason = new Error('enough');
    const said: string[] = [];
    const building = build(dir, process.env, abort.signal, (text) => {
      said.push(text);
      if (/apt|packages|archives/.test(text)) abort.abort(reason);
    });
    expect(await thrown(building)).equal(reason);
    expect(said).not.deep.equal([]);
    expect(await readdir(dir)).deep.equal([]);
    expect(await processesIn(dir)).deep.equal([]);
  });

  it('says which package does not exist, and leaves nothing', async () => {
    const dir = join(home, 'images');
    const options = { store: new ImageStore(dir), builder: ME, arch: process.arch, env: process.env };
    const err = await thrown(
      buildImage({ ...options, packages: ['no-such-package-here'] }, () => {}, signal),
    );
    expect(err).property('reason', 'IMAGE_FAILED');
    expect(err).property('message').contain('no-such-package-here');
    expect(await readdir(dir)).deep.equal([]);
  });

  it('says before it begins that there is no room', async function () {
    if (!SmallDisk.possible) {
      console.warn('SKIPPED: a build on a full disk: this user may not mount a small one');
      this.skip();
    }
    using disk = new SmallDisk();
    const err = await thrown(build(join(disk.dir, 'images'), process.env));
    expect(err).property('reason', 'DISK_FULL');
    expect(await readdir(join(disk.dir, 'images'))).deep.equal([]);
  });

  it('says so when there is no room left on the way', async function () {
    if (!SmallDisk.possible) this.skip();
    using disk = new SmallDisk(2100);
    const abort = new AbortController();
    const err = await thrown(
      build(join(disk.dir, 'images'), process.env, abort.signal, (text) => {
        if (/extracting archives/.test(text)) disk.fill(4 * 1024 ** 2);
      }),
    );
    expect(err).property('reason', 'DISK_FULL');
    expect(await readdir(join(disk.dir, 'images'))).deep.equal([]);
  });

  describe('vm-agent image', () => {
    async function run(...args: string[]) {
      return cli(['image', ...args], { env: { ...process.env, VM_AGENT_HOME: home } });
    }

    it('lists, names and removes images of the home without a hub', async () => {
      expect(await run('list')).include({ code: 0, stdout: '' });
      await link(images, join(home, 'images'));
      const listed = await run('list');
      expect(listed.stdout).match(/^Name +Id +Kind[^\n]*\ndefault +sha256-[0-9a-f]{12} +direct /);
      const [image] = JSON.parse((await run('list', '--json')).stdout);
      expect(image).include({ name: 'default', kind: 'direct' }).property('usedBy').deep.equal([]);
      expect(await run('remove', 'default')).include({ code: 0, stderr: 'image default is removed\n' });
      expect(await run('remove', 'default')).property('code', 3);
    });

    it('does not remove what a machine uses', async () => {
      await link(images, join(home, 'images'));
      const { manifest } = await new ImageStore(join(home, 'images')).find('default');
      const machine = join(home, 'qemu', 'machines', 'dev');
      await mkdir(machine, { recursive: true });
      const record = { spec: {}, uuid: 'x', image: manifest.id, made: true, snapshots: [] };
      await writeFile(
        join(machine, 'qemu-machine.json'),
        JSON.stringify({ provider: 'qemu', format: 1, record }),
      );
      const refused = await run('remove', 'default');
      expect(refused.code).equal(1);
      expect(refused.stderr).contain('image default is in use by dev; destroy it first');
      expect((await run('list')).stdout).match(/ dev +Debian bookworm$/m);
    });

    const bad: readonly (readonly [readonly string[], number, RegExp])[] = [
      [['build', '--name=-snapshot'], 2, /name: 1 to 63 characters/],
      [['build', '--name', 'a,file=/etc/shadow'], 2, /name: 1 to 63 characters/],
      [['build', '--suite', 'x y'], 2, /suite: name of a Debian release/],
      [['build', '--packages', 'jq,$(id)'], 2, /packages: at most 200 names/],
      [['build', 'more'], 2, /usage: vm-agent image build/],
      [['import'], 2, /usage: vm-agent image import/],
      [['remove', '../../etc'], 3, /no image "\.\.\/\.\.\/etc"/],
      [[], 2, /image build/],
      [['nope'], 2, /unknown command 'image nope'/],
    ];
    for (const [args, code, complaint] of bad) {
      it(`refuses ${JSON.stringify(args)}`, async () => {
        const refused = await run(...args);
        expect(refused.stderr).match(complaint);
        expect(refused).include({ code, stdout: '' });
        expect(existsSync(join(home, 'images'))).equal(false);
      });
    }

    it('says which packages to install when there are no tools', async () => {
      const bin = join(home, 'bin');
      await mkdir(bin);
      const env = { VM_AGENT_HOME: home, PATH: bin };
      const refused = await cli(['image', 'import', join(images, 'names.json')], { env });
      // The tools of administrators are found wherever PATH points.
      const message = /qemu-img is not installed; on Debian: sudo apt-get install qemu-utils/;
      expect(refused.stderr).match(message);
      expect(refused.code).equal(1);
    });
  });
});

/** The same image in another store, without copying its bytes. */
async function link(from: string, to: string): Promise<void> {
  execFileSync('cp', ['--archive', '--link', '--', from, to]);
}

/** Command lines of processes that work in a directory. */
async function processesIn(dir: string): Promise<readonly string[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const lines = await Promise.all(
    pids.map((pid) => readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')),
  );
  return lines.filter((line) => line.includes(dir));
}
