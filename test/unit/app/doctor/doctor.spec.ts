import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { doctorReport } from '../../../../cli/format/doctor.js';
import type { Check } from '../../../../src/app/doctor/check.js';
import { diagnose } from '../../../../src/app/doctor/diagnose.js';
import { nodeCheck } from '../../../../src/app/doctor/home-checks.js';
import { gitCheck, kvmCheck, toolChecks } from '../../../../src/app/doctor/tool-checks.js';
import { takeLock } from '../../../../src/base/lock-file.js';
import { loadHubConfig } from '../../../../src/config/hub-config.js';
import { FakeVmProvider } from '../../../support/fake-vm-provider.js';

const signal = new AbortController().signal;

describe('doctor', function () {
  this.timeout(60_000);
  let root: string;
  let provider: FakeVmProvider;
  let servers: Server[];

  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'doctor-'));
    provider = new FakeVmProvider('local');
    servers = [];
  });
  afterEach(async () => {
    for (const server of servers) await new Promise((done) => server.close(done));
    await rm(root, { recursive: true });
  });

  async function busyPort(): Promise<number> {
    const server = createServer();
    servers.push(server);
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
    const address = server.address();
    return typeof address === 'object' && address ? address.port : 0;
  }

  /** Any free port, so that nothing else on this host decides. */
  const flags = (more: Record<string, string> = {}) => {
    const free = { grpc: '127.0.0.1:0', http: '127.0.0.1:0', dashboard: '127.0.0.1:0' };
    return { home: root, ...free, ...more };
  };
  const look = (more: Record<string, string> = {}) => {
    const config = loadHubConfig({ flags: flags(more), env: {} });
    return diagnose({ config, env: process.env, signal, providers: [provider] });
  };
  const find = (checks: readonly Check[], name: string) => checks.find((check) => check.name === name);

  it('is content with a host on which one provider works, and changes nothing', async () => {
    const { works, checks } = await look();
    expect(checks.filter((check) => check.status === 'bad')).to.deep.equal([]);
    expect(works).to.equal(true);
    expect(find(checks, 'provider local')).to.include({ status: 'ok', detail: 'works (vm)' });
    expect(find(checks, 'port of gRPC')?.detail).to.match(/is free$/);
    expect(find(checks, 'profiles')?.detail).to.equal('5 built in, 0 own');
  });

  it('says that nothing can be made when no provider works, and why', async () => {
    provider.works = { works: false, reason: 'no image' };
    const { works, checks } = await look();
    expect(works).to.equal(false);
    expect(find(checks, 'providers')).to.include({ status: 'bad' });
    expect(find(checks, 'provider local')?.detail).to.equal('does not work: no image');
  });

  it('names who holds a port, and how to choose another', async () => {
    const port = await busyPort();
    const { works, checks } = await look({ http: `127.0.0.1:${port}` });
    const check = find(checks, 'port of REST');
    expect(works).to.equal(false);
    expect(check?.detail).to.equal(`127.0.0.1:${port} is held by node (pid ${process.pid})`);
    expect(check?.fix).to.contain('--http');
  });

  it('knows the hub of this home as the holder', async () => {
    const port = await busyPort();
    await mkdir(join(root, 'data'));
    const lock = await takeLock(join(root, 'data', 'hub.lock'));
    try {
      const { checks } = await look({ grpc: `127.0.0.1:${port}` });
      const detail = `127.0.0.1:${port} is held by the hub of this home (pid ${process.pid})`;
      expect(find(checks, 'port of gRPC')).to.include({ status: 'ok', detail });
    } finally {
      if ('close' in lock) await lock.close();
    }
  });

  it('warns of a token that others can read, and of a profile that is none', async () => {
    await writeFile(join(root, 'token'), 'x');
    await chmod(join(root, 'token'), 0o644);
    await mkdir(join(root, 'profiles'));
    await writeFile(join(root, 'profiles', 'odd.json'), '{"name":"even"}');
    const { works, checks } = await look();
    expect(works).to.equal(true);
    expect(find(checks, 'token')).to.include({ status: 'warn' });
    expect(find(checks, 'profiles')?.detail).to.match(/odd\.json: name/);
  });

  it('shows the acceleration with its reason', async () => {
    Object.assign(provider, { acceleration: async () => ({ kind: 'tcg', reason: 'no /dev/kvm' }) });
    const { checks } = await look();
    expect(find(checks, 'acceleration of local')).to.include({
      status: 'warn',
      detail: 'tcg (slow: no /dev/kvm)',
    });
  });

  it('refuses an old Node.js', () => {
    for (const [version, status] of [
      ['20.19.0', 'ok'],
      ['22.1.0', 'ok'],
      ['20.18.9', 'bad'],
      ['18.20.1', 'bad'],
    ] as const) {
      expect(nodeCheck(version).status, version).to.equal(status);
    }
  });

  it('tells the command that installs each program that is missing', async () => {
    // Administrators' programs are looked for beside PATH; those in no package of the base system are missing.
    const env = { PATH: join(root, 'empty') };
    const checks = [...(await toolChecks(env)), await gitCheck(env)];
    const missing = checks.filter((check) => check.status === 'warn');
    expect(missing.map((check) => check.name)).to.include.members(['qemu-img', 'mmdebstrap', 'socat', 'git']);
    for (const check of missing) expect(check.fix, check.name).to.match(/^sudo apt-get install \S+$/);
  });

  it('tells a KVM that is missing', async () => {
    expect(await kvmCheck(join(root, 'kvm'))).to.include({ status: 'warn' });
    await writeFile(join(root, 'kvm'), '');
    expect(await kvmCheck(join(root, 'kvm'))).to.include({ status: 'ok' });
  });

  it('is shown with what mends it, and without what could steer a terminal', () => {
    const base = { group: 'machines', name: 'git' } as const;
    const fix = 'sudo apt-get install git';
    const text = doctorReport({
      works: false,
      checks: [{ ...base, status: 'bad', detail: 'gone\u001b[2J\nnow', fix }],
    });
    expect(text)
      .to.match(/BAD {3}git +gone.\[2J now\n +mend: sudo apt-get install git/)
      .and.not.contain('\u001b');
    expect(text).to.contain('cannot make machines here');
  });
});
