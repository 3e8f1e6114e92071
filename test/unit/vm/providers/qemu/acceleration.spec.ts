import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { AccelerationProof } from '../../../../../src/vm/providers/qemu/acceleration.js';
import { PROBE_WORDS } from '../../../../../src/vm/providers/qemu/probe-guest.js';

const HOST = { platform: 'linux', arch: 'x64', kernel: '6.1.0', qemu: '7.2.22' };
const never = new AbortController().signal;

describe('AccelerationProof', () => {
  let dir: string;
  let runs: (readonly string[])[];
  let printed: string;

  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'proof-'));
    runs = [];
    printed = `${PROBE_WORDS}\n`;
    writeFileSync(join(dir, 'kvm'), '');
  });

  afterEach(() => rmSync(dir, { recursive: true }));

  const proof = () =>
    new AccelerationProof({
      cacheFile: join(dir, 'acceleration.json'),
      kvmDevice: join(dir, 'kvm'),
      runGuest: async (args) => {
        runs.push(args);
        return printed;
      },
    });
  const find = (host = HOST) => proof().find(host, '/kernel', never);

  it('believes a guest that says its words', async () => {
    expect(await find()).to.deep.equal({ kind: 'kvm', reason: '' });
    expect(runs[0]).to.include('q35,accel=kvm').and.include('/kernel');
  });

  it('does not believe a device that only opens', async () => {
    printed = 'failed to set MSR 0x10a';
    const { kind, reason } = await find();
    expect(kind).to.equal('tcg');
    expect(reason).to.contain('did not boot').and.to.contain('MSR 0x10a');
  });

  it('keeps the answer for this kernel and this QEMU', async () => {
    await find();
    expect(await find()).to.deep.equal({ kind: 'kvm', reason: '' });
    expect(runs).to.have.length(1);
    await find({ ...HOST, kernel: '6.2.0' });
    await find({ ...HOST, kernel: '6.2.0', qemu: '8.0.0' });
    expect(runs).to.have.length(3);
  });

  it('tries again when what was kept cannot be read', async () => {
    writeFileSync(join(dir, 'acceleration.json'), '{"key":');
    await find();
    expect(runs).to.have.length(1);
    expect(JSON.parse(readFileSync(join(dir, 'acceleration.json'), 'utf8')).answer.kind).to.equal('kvm');
  });

  it('needs no guest where there is no device, and does not keep that', async () => {
    rmSync(join(dir, 'kvm'));
    expect(await find()).to.deep.equal({ kind: 'tcg', reason: `${join(dir, 'kvm')} is missing` });
    writeFileSync(join(dir, 'kvm'), '');
    expect((await find()).kind).to.equal('kvm');
  });

  it('knows that another processor cannot be sped up', async () => {
    const { kind, reason } = await find({ ...HOST, arch: 'arm64' });
    expect(kind).to.equal('tcg');
    expect(reason).to.contain('arm64');
    expect(runs).to.deep.equal([]);
  });

  it('tries the hypervisor of macOS', async () => {
    expect(await find({ ...HOST, platform: 'darwin' })).to.deep.equal({ kind: 'hvf', reason: '' });
  });
});
