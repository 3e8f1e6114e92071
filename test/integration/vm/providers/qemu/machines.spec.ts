import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { systemClock } from '../../../../../src/base/clock.js';
import { HubError } from '../../../../../src/model/hub-error.js';
import type { VmNetwork } from '../../../../../src/model/vm.js';
import type { MachineSpec, VmProvider } from '../../../../../src/vm/provider.js';
import { ClosedRoutes } from '../../../../../src/vm/providers/qemu/closed-routes.js';
import {
  machinePaths,
  readRecord,
  writeRecord,
} from '../../../../../src/vm/providers/qemu/machine-record.js';
import { findQemu } from '../../../../../src/vm/providers/qemu/qemu-process.js';
import { type QemuHarness, qemuHarness, qemuImages } from '../../../../support/qemu-harness.js';
import { SmallDisk } from '../../../../support/small-disk.js';

const MIB = 1024 ** 2;
const PREPARE_MS = 15 * 60_000;
const soon = () => AbortSignal.timeout(120_000);
const noReport = () => () => {};

describe('machines of QEMU', function () {
  this.timeout(240_000);
  let harness: QemuHarness;
  let provider: VmProvider;

  before(async function () {
    this.timeout(PREPARE_MS);
    if ((await qemuImages()) === undefined) this.skip();
  });

  beforeEach(async () => {
    harness = await qemuHarness();
    provider = harness.provider;
  });

  afterEach(async () => {
    for (const machine of await provider.list(soon())) await provider.destroy(machine, soon());
    await harness.close();
  });

  const spec = (name: string, more: Partial<MachineSpec> = {}): MachineSpec => ({
    name,
    resources: { cpu: 1, memoryBytes: 512 * MIB, diskBytes: 4096 * MIB },
    network: provider.capabilities.networks[0] ?? 'isolated',
    allowHostSudo: false,
    ...more,
  });
  const create = (name = 'alpha', more: Partial<MachineSpec> = {}) =>
    provider.create(spec(name, more), noReport, soon());
  const start = (name = 'alpha', generation = 1) =>
    provider.start(name, harness.boot(name, generation, true), noReport, soon());
  const up = async (name = 'alpha', more: Partial<MachineSpec> = {}) => {
    await create(name, more);
    await start(name);
  };
  const sh = async (command: string, name = 'alpha') => {
    const ran = await harness.exec(name, command);
    expect(ran.code, `${command}: ${ran.output}`).to.equal(0);
    return ran.output.trim();
  };
  const recordOf = async (name = 'alpha') => {
    const record = await readRecord(machinePaths(harness.machinesDir, name));
    if (record === undefined) throw new Error(`there is no record of ${name}`);
    return record;
  };
  const pidOf = async (name = 'alpha') => {
    const row = await findQemu('/nowhere', await recordOf(name));
    if (row === undefined) throw new Error(`${name} does not run`);
    return row.pid;
  };

  it('run without rights, as users of their own where the hub is root, and tell no secret', async () => {
    await up();
    const pid = await pidOf();
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    expect(status)
      .to.match(/^NoNewPrivs:\t1$/m)
      .and.match(/^Seccomp:\t2$/m)
      .and.match(/^CapEff:\t0+$/m);
    const { uid } = await recordOf();
    if (process.getuid?.() === 0) {
      expect(uid).to.be.greaterThan(60_000);
      expect(status).to.match(new RegExp(`^Uid:\t${uid}\t${uid}\t${uid}\t${uid}$`, 'm'));
    } else expect(uid).to.equal(undefined);
    const told = `${readFileSync(`/proc/${pid}/cmdline`)}${readFileSync(`/proc/${pid}/environ`)}`;
    expect(told).to.contain('guest=alpha').and.not.contain('secret-of-alpha');
    const { dir, boot, disk, secret, vm } = machinePaths(harness.machinesDir, 'alpha');
    for (const file of [boot, disk, secret]) expect(statSync(file).mode & 0o077, file).to.equal(0);
    for (const path of [dir, vm]) expect(statSync(path).mode & 0o077, path).to.equal(0);
  });

  it('end when they hang, and are never taken for stopped before', async () => {
    await up();
    process.kill(await pidOf(), 'SIGSTOP');
    expect(await provider.inspect('alpha', soon())).to.equal('running');
    await provider.stop('alpha', { force: true }, soon());
    expect(await provider.inspect('alpha', soon())).to.equal('stopped');
    await start('alpha');
    process.kill(await pidOf(), 'SIGSTOP');
    await provider.destroy('alpha', soon());
    expect(await harness.leftovers('alpha')).to.deep.equal([]);
  });

  it('are stopped after kill -9, leave no helpers, and start again', async () => {
    await up();
    await sh('echo kept > ~/note; sync');
    process.kill(await pidOf(), 'SIGKILL');
    while ((await provider.inspect('alpha', soon())) !== 'stopped') await systemClock.sleep(20);
    const helpers = async () =>
      (await harness.leftovers('alpha')).filter((line) => line.startsWith('process'));
    while ((await helpers()).length > 0) await systemClock.sleep(20);
    await start('alpha');
    expect(await sh('cat ~/note')).to.equal('kept');
  });

  it('are not taken from a pid file that lies', async () => {
    await create();
    const { uuid } = await recordOf();
    mkdirSync(join(harness.dir, 'r', 'lie'), { recursive: true });
    const lie = join(harness.dir, 'r', 'lie', 'pid');
    writeFileSync(lie, String(process.pid));
    expect(await findQemu(lie, { uuid })).to.equal(undefined);
  });

  it('wake with their memory, three times and from an older snapshot', async () => {
    await up();
    const bootId = 'cat /proc/sys/kernel/random/boot_id';
    const boot = await sh(bootId);
    await sh('echo one > /run/memory; echo one > ~/disk');
    const first = await provider.snapshot('alpha', 'one', '', soon());
    expect(first.live).to.equal(true);
    expect(first.sizeBytes).to.be.greaterThan(10 * MIB);
    await sh('echo two > /run/memory; echo two > ~/disk');
    await provider.snapshot('alpha', 'two', '', soon());
    const back = async (snapshot: string, generation: number) => {
      await provider.stop('alpha', { force: true }, soon());
      await provider.restore('alpha', snapshot, soon());
      await start('alpha', generation);
      expect(await sh(bootId)).to.equal(boot);
      expect(await sh('cat /run/memory ~/disk')).to.equal(`${snapshot}\n${snapshot}`);
    };
    for (const generation of [2, 3, 4]) {
      await sh('echo later > /run/memory; echo later > ~/disk');
      await back('two', generation);
    }
    await back('one', 5);
    await provider.deleteSnapshot('alpha', 'two', soon());
    expect((await provider.listSnapshots('alpha')).map(({ name }) => name)).to.deep.equal(['one']);
  });

  it('grow their disk while they run', async () => {
    await up();
    const before = await sh('cat /sys/block/vda/size');
    const { cpu, memoryBytes } = spec('alpha').resources;
    const grown = { cpu, memoryBytes: memoryBytes * 2, diskBytes: 5120 * MIB };
    expect(await provider.resize?.('alpha', grown, soon())).to.equal('at_next_start');
    expect(Number(await sh('cat /sys/block/vda/size')) - Number(before)).to.equal((1024 * MIB) / 512);
    const small = { ...grown, diskBytes: 4096 * MIB };
    const refused = await provider.resize?.('alpha', small, soon()).catch((err: unknown) => err);
    expect(HubError.from(refused).reason).to.equal('INVALID_FIELD');
    await provider.stop('alpha', { force: true }, soon());
    await start('alpha');
    expect(Number(await sh("awk '/MemTotal/ {print $2}' /proc/meminfo"))).to.be.greaterThan(900 * 1024);
  });

  it('are completed when their making was interrupted, and destroyed at any stage', async () => {
    await create();
    const paths = machinePaths(harness.machinesDir, 'alpha');
    const { made: _, ...half } = await recordOf();
    await writeRecord(paths, { ...half, made: false });
    writeFileSync(paths.disk, 'half of a disk');
    await create();
    await start();
    expect(await sh('echo up')).to.equal('up');
    await provider.destroy('alpha', soon());
    await create();
    await writeRecord(paths, { ...half, made: false });
    await provider.destroy('alpha', soon());
    expect(await harness.leftovers('alpha')).to.deep.equal([]);
  });

  it('refuse what no guest boots with and an image that is not there, and leave nothing', async () => {
    const { resources } = spec('alpha');
    const small = { ...resources, diskBytes: 100 * MIB };
    const dim = { ...resources, memoryBytes: 16 * MIB };
    const reasons = [];
    for (const more of [{ resources: small }, { resources: dim }, { image: 'no-such-image' }]) {
      reasons.push(HubError.from(await create('alpha', more).catch((err: unknown) => err)).reason);
      expect(existsSync(join(harness.machinesDir, 'alpha'))).to.equal(false);
    }
    expect(reasons).to.deep.equal(['INVALID_FIELD', 'INVALID_FIELD', 'IMAGE_NOT_FOUND']);
  });

  describe('and their network', () => {
    let servers: Server[];
    let ports: readonly number[];

    beforeEach(async () => {
      servers = [createServer((peer) => peer.end()), createServer((peer) => peer.end())];
      const hosts = ['127.0.0.1', '0.0.0.0'];
      for (const [i, server] of servers.entries()) {
        server.listen(0, hosts[i]);
        await once(server, 'listening');
      }
      ports = servers.map((server) => (server.address() as { port: number }).port);
    });

    afterEach(() => {
      for (const server of servers) server.close();
    });

    for (const network of ['internet', 'isolated'] as const satisfies readonly VmNetwork[]) {
      it(`${network}: nothing of the host is open but the agent door`, async function () {
        if (!provider.capabilities.networks.includes(network)) this.skip();
        await up('alpha', { network });
        const own = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
        const mine = own.filter(({ family }) => family === 'IPv4').map(({ address }) => address);
        const hosts = ['10.0.2.2', '10.0.2.3', '198.18.255.2', '198.18.255.3', '198.18.255.100', ...mine];
        const closed = hosts.flatMap((host) => ports.map((port) => `${host}/${port}`));
        closed.push('169.254.169.254/80', '10.0.2.100/9091', '10.0.2.15/9090');
        const probe = `for to in ${closed.join(' ')}; do (timeout 5 bash -c "exec 3<>/dev/tcp/$to" && echo open $to) & done 2>/dev/null; wait`;
        expect((await harness.exec('alpha', probe)).output).to.equal('');
        expect(await sh('timeout 10 bash -c "exec 3<>/dev/tcp/10.0.2.100/9090" && echo open')).to.equal(
          'open',
        );
        const resolves = await harness.exec('alpha', 'timeout 20 getent hosts deb.debian.org');
        if (network === 'isolated') expect(resolves.code).to.not.equal(0);
      });
    }
  });

  it('are closed to addresses that the host gets while they run', async function () {
    if (!provider.capabilities.networks.includes('internet')) this.skip();
    await up('alpha', { network: 'internet' });
    const { uid } = await recordOf();
    const pid = await pidOf();
    const routes = new ClosedRoutes(() => ['203.0.113.7/32', '127.0.0.0/8']);
    await routes.keep('alpha', { pid, ownUser: uid !== undefined }, soon());
    const table = readFileSync(`/proc/${pid}/net/route`, 'utf8');
    // Addresses stand there as hexadecimal numbers, the last byte first; 0x200 is the flag of a refusal.
    expect(table).to.match(/^\*\t077100CB\t00000000\t0205\t/m);
  });

  it('leave no user, process or file behind, whatever was started', async () => {
    await Promise.all([up('alpha'), create('beta')]);
    const uids = [(await recordOf('alpha')).uid, (await recordOf('beta')).uid];
    if (process.getuid?.() === 0) expect(uids[0]).to.not.equal(uids[1]);
    await provider.destroy('alpha', soon());
    await provider.destroy('beta', soon());
    expect(readdirSync(join(harness.dir, 'r'))).to.deep.equal([]);
    expect(await harness.leftovers('alpha')).to.deep.equal([]);
  });
});

describe('a machine of QEMU on a disk of the host that is full', function () {
  this.timeout(240_000);
  let disk: SmallDisk;
  let harness: QemuHarness;

  before(async function () {
    this.timeout(PREPARE_MS);
    if (!SmallDisk.possible || (await qemuImages()) === undefined) this.skip();
  });

  beforeEach(async () => {
    disk = new SmallDisk(300);
    harness = await qemuHarness({ parent: disk.dir, roomBytes: 32 * MIB });
  });

  afterEach(async () => {
    disk.clear();
    await harness.provider.destroy('alpha', soon());
    await harness.close();
    disk[Symbol.dispose]();
  });

  it('stands still, and goes on without loss when there is room, also with the next hub', async () => {
    const { provider } = harness;
    const resources = { cpu: 1, memoryBytes: 512 * MIB, diskBytes: 4096 * MIB };
    const spec = { name: 'alpha', resources, network: 'isolated', allowHostSudo: false } as const;
    await provider.create(spec, noReport, soon());
    await provider.start('alpha', harness.boot('alpha', 1, true), noReport, soon());
    await harness.exec('alpha', 'true');
    disk.fill(20 * MIB);
    provider.close();
    const write =
      'head -c 64M /dev/urandom > ~/big; sync; sha256sum < ~/big; echo 3 > /proc/sys/vm/drop_caches; sha256sum < ~/big';
    const writing = harness.exec('alpha', write);
    while (disk.free > MIB) await systemClock.sleep(50);
    const next = harness.again();
    expect(await next.inspect('alpha', soon())).to.equal('running');
    disk.clear();
    const { code, output } = await writing;
    expect(code).to.equal(0);
    const [written, read] = output.trim().split('\n');
    expect(read).to.equal(written);
  });
});
