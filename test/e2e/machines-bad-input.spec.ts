import { constants } from 'node:fs';
import { copyFile, cp, open, readdir, readFile, symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { run } from '../../src/base/process.js';
import { ImageStore } from '../../src/vm/images/image-store.js';
import { probeInitrd } from '../../src/vm/providers/qemu/probe-guest.js';
import type { CommandResult } from '../support/e2e/command.js';
import type { HubProcess } from '../support/e2e/hub-process.js';
import { at } from '../support/e2e/json-path.js';
import {
  BEFORE_MS,
  BOOT_MS,
  filesLeft,
  type HostMachine,
  hostMachine,
  leftOf,
  post,
  SMALL,
  startMachineHub,
  until,
  written,
} from '../support/e2e/machine-hub.js';
import { SmallDisk } from '../support/small-disk.js';
import { addImageOf } from '../support/small-image.js';

const SLOW = { timeoutMs: BOOT_MS };
const MIB = 1024 ** 2;
/** A host's disk has to be as large as the machine's, and that as its image. */
const DISK_MIB = 2200;
const FITTING = [...SMALL.slice(0, -1), '2100M'];
const QEMU = 'qemu-system-x86_64';
/** Runs a program where QEMU cannot be run. */
const HIDDEN =
  'for f in /usr/bin/$0 /usr/local/bin/$0; do [ ! -e "$f" ] || mount --bind /dev/null "$f"; done; exec "$@"';
const WITHOUT_QEMU = ['unshare', '--mount', 'sh', '-ec', HIDDEN, QEMU];

/** What is refused: options of `create`, exit code, and what the message says. */
const REFUSED: readonly (readonly [
  what: string,
  options: readonly string[],
  exitCode: number,
  says: RegExp,
])[] = [
  [
    'an unknown image',
    ['--image', 'nothing'],
    3,
    /no image "nothing": there are default; make one with: vm-agent image build --name nothing/,
  ],
  ['an image like an option', ['--image=-snapshot'], 3, /no image /],
  ['an image with an option of its own', ['--image', 'a,file=/etc/shadow'], 3, /no image /],
  ['an image that is a path', ['--image', '../../etc'], 3, /no image /],
  [
    'a disk below the size of the image',
    ['--disk', '100M'],
    2,
    /disk: at least [\d.]+G, the size of the image default/,
  ],
  [
    'memory above that of this host',
    ['--memory', '9000G'],
    1,
    /memory 9000G is more than the [\d.]+[GM] of this host/,
  ],
  ['memory that no guest boots with', ['--memory', '16M'], 2, /memory: at least 256M/],
  ['memory with an option of its own', ['--memory', '1G,file=/etc/shadow'], 2, /memory: a size/],
  ['processors that nobody has', ['--cpu', '257'], 2, /cpu/],
  ['a network that is none', ['--network', 'user,hostfwd=tcp::1-:1'], 2, /network/],
];

const NAMES = ['-snapshot', 'a,file=/etc/shadow', '../a', 'a b', 'A', ''];

describe('virtual machines that cannot be made', function () {
  this.timeout(BOOT_MS);
  let hub: HubProcess;
  let disk: SmallDisk;
  let kept: string;
  let machine: HostMachine;

  before(async function () {
    this.timeout(BEFORE_MS);
    if (!SmallDisk.possible) {
      console.log('SKIPPED: bad input for virtual machines, which needs root for a small disk');
      this.skip();
    }
    disk = new SmallDisk(DISK_MIB);
    const started = await startMachineHub(async (home, images) => {
      kept = images;
      // A store of its own, because its files are damaged below.
      await cp(images, join(home, 'images'), { recursive: true, mode: constants.COPYFILE_FICLONE });
      await symlink(disk.dir, join(home, 'qemu'));
    });
    if (started === undefined) this.skip();
    hub = started;
  });
  after(async () => {
    await hub?.close();
    disk?.[Symbol.dispose]();
  });

  const create = (name: string, ...options: string[]) =>
    hub.cli(['create', ...FITTING, ...options, '--', name], SLOW);

  /** A call that was refused, and left nothing. */
  async function expectRefused(result: CommandResult, exitCode: number, says: RegExp): Promise<void> {
    expect(result.stderr)
      .to.match(says)
      .and.not.match(/\n\s+at /);
    expect([result.exitCode, result.stdout]).to.deep.equal([exitCode, '']);
    await expectNothing();
  }

  async function expectNothing(): Promise<void> {
    expect(await readdir(join(disk.dir, 'machines')).catch(() => [])).to.deep.equal([]);
    expect(await filesLeft(hub, ['bad'])).to.deep.equal([]);
    const agents = (await hub.rest('GET', '/agents')).at('agents');
    expect(agents, 'an agent of what was not made').to.deep.equal([]);
  }

  for (const [what, options, exitCode, says] of REFUSED) {
    it(`refuses ${what}`, async () => {
      await expectRefused(await create('bad', ...options), exitCode, says);
    });
  }

  for (const name of NAMES) {
    it(`refuses the name ${JSON.stringify(name)}`, async () => {
      await expectRefused(await create(name), 2, /name: (is required: )?1 to 63 characters/);
    });
  }

  describe('for their image', () => {
    let path: string;

    before(async () => {
      const [id = ''] = (await readdir(kept)).filter((name) => name.startsWith('sha256-'));
      path = join(id, 'disk.qcow2');
    });
    afterEach(() => copyFile(join(kept, path), join(hub.home, 'images', path)));

    it('that has one bit flipped', async () => {
      const file = await open(join(hub.home, 'images', path), 'r+');
      const byte = Buffer.alloc(1);
      await file.read(byte, 0, 1, 10 * MIB);
      await file.write(Buffer.from([(byte[0] ?? 0) ^ 1]), 0, 1, 10 * MIB);
      await file.close();
      await expectRefused(
        await create('bad'),
        65,
        /image default cannot be used: disk\.qcow2 is not what it was; make it again with: vm-agent image build/,
      );
    });

    it('that is truncated', async () => {
      await truncate(join(hub.home, 'images', path), 20 * MIB);
      await expectRefused(
        await create('bad'),
        65,
        /disk\.qcow2 has 20971520 bytes instead of \d+; make it again with/,
      );
    });

    it('that is none, when it is imported', async () => {
      const file = join(hub.home, 'no-image.qcow2');
      await writeFile(file, Buffer.concat([Buffer.from('QFI\xfb', 'latin1'), Buffer.alloc(4096)]));
      const result = await hub.cli(['image', 'import', file], SLOW);
      expect(result.stderr).to.match(/no-image\.qcow2/);
      expect(result.exitCode).to.be.above(0);
      expect(
        (await readdir(join(hub.home, 'images'))).filter((name) => name.startsWith('draft-')),
      ).to.deep.equal([]);
    });
  });

  it('whose guest switches itself off are told at once, with the last words of its console', async () => {
    const store = new ImageStore(join(hub.home, 'images'));
    const { kernel = '' } = (await store.find('default')).paths;
    const empty = join(hub.home, 'empty.qcow2');
    expect((await run('qemu-img', ['create', '-q', '-f', 'qcow2', empty, '1M'])).code).to.equal(0);
    const files = {
      'disk.qcow2': await readFile(empty),
      kernel: await readFile(kernel),
      initrd: probeInitrd(),
    };
    await addImageOf(store, 'off', files);
    const result = await create('off', '--image', 'off');
    expect([result.exitCode, result.stdout]).to.deep.equal([1, '']);
    const words =
      /the machine ended before its agent was connected; last console lines: .*the processor works/s;
    expect(result.stderr).to.match(words);
    await hub.ok(['destroy', 'off', '--force'], SLOW);
    await hub.ok(['image', 'remove', 'off']);
    await expectNothing();
  });

  it('for a full disk are refused, and leave nothing', async () => {
    disk.fill();
    try {
      await expectRefused(await create('bad'), 1, /the host's disk is full: .+ make room and try again/);
    } finally {
      disk.clear();
    }
  });

  describe('one that runs', () => {
    before(async function () {
      this.timeout(BOOT_MS);
      await hub.ok(['create', 'dev', ...FITTING], SLOW);
      machine = await hostMachine(hub, 'dev');
    });

    it('refuses names of snapshots that would mean something to QEMU', async () => {
      for (const name of NAMES.filter((name) => name !== '')) {
        const result = await hub.cli(['snapshot', 'dev', '--', name]);
        expect([result.exitCode, result.stderr]).to.deep.equal([2, result.stderr]);
        expect(result.stderr).to.match(/name: 1 to 63 characters/);
      }
      expect(JSON.parse((await hub.ok(['snapshots', 'dev', '--json'])).stdout)).to.deep.equal([]);
    });

    it('refuses to become smaller than it is, or larger than this host', async () => {
      const smaller = await hub.cli(['resize', 'dev', '--disk', '1G']);
      expect([smaller.exitCode, smaller.stderr]).to.deep.equal([2, smaller.stderr]);
      expect(smaller.stderr).to.match(/disk: a disk only grows: at least the 2\.1G that it has/);
      expect((await hub.cli(['resize', 'dev', '--memory', '16M'])).stderr).to.match(/memory: at least 256M/);
      expect((await hub.cli(['resize', 'dev', '--memory', '9000G'])).stderr).to.match(
        /more than the .+ of this host/,
      );
      expect(at((await hub.rest('GET', '/agents/dev/vm')).json, 'vm.resources')).to.deep.equal({
        cpu: 2,
        memory: '1G',
        disk: '2100M',
      });
    });

    it('has a snapshot whole or not at all when the disk of this host is full', async () => {
      disk.fill(MIB);
      const refused = await hub.cli(['snapshot', 'dev', 'too-large'], SLOW);
      disk.clear();
      expect(refused.exitCode, refused.stderr).to.equal(1);
      expect(refused.stderr).to.match(
        /the host's disk has no room for a snapshot of dev; make room or delete snapshots/,
      );
      expect(JSON.parse((await hub.ok(['snapshots', 'dev', '--json'])).stdout)).to.deep.equal([]);
      expect((await hub.ok(['exec', 'dev', 'echo on'], SLOW)).stdout).to.equal('on\n');
    });

    it('stands still when the disk of this host is full, and goes on without loss', async () => {
      const id = await post(hub, 'dev', {
        type: 'exec',
        command:
          'echo up; head -c 64M /dev/urandom | tee /opt/data | md5sum; sync; echo 3 | sudo tee /proc/sys/vm/drop_caches >/dev/null; md5sum < /opt/data',
      });
      await until('it writes', async () => (await written(hub, id)).includes('up'), BOOT_MS);
      disk.fill();
      const isLogged = async () =>
        /a machine stands still/.test(await hub.logFile('hub-stdout.log').catch(() => hub.output));
      await until('it stands still', isLogged, BOOT_MS);
      disk.clear();
      expect(at(await hub.ended(id), 'state')).to.equal('SUCCEEDED');
      const [, first, second] = (await written(hub, id)).split('\n');
      expect(first)
        .to.match(/^[0-9a-f]{32} /)
        .and.to.equal(second);
    });

    it('cannot be started where QEMU is missing, and says what to install; destroy --force works', async () => {
      await hub.ok(['stop', 'dev', '--force'], SLOW);
      await hub.stop();
      await hub.startAgain({ within: WITHOUT_QEMU });
      for (const args of [
        ['start', 'dev'],
        ['create', ...FITTING, 'bad'],
      ]) {
        const result = await hub.cli(args, SLOW);
        expect(result.exitCode, result.stderr).to.equal(1);
        expect(result.stderr).to.match(
          /qemu-system-x86_64 is not installed; apt-get install qemu-system-x86/,
        );
      }
      disk.fill();
      await hub.ok(['destroy', 'dev', '--force'], SLOW);
      expect(await leftOf(hub, [machine])).to.deep.equal([]);
      await expectNothing();
    });
  });
});
