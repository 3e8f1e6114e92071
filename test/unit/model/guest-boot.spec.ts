import { expect } from 'chai';
import {
  BOOT_DISK_BYTES,
  bootDiskOf,
  type GuestBoot,
  guestBootFrom,
  readBootDisk,
} from '../../../src/model/guest-boot.js';

const boot: GuestBoot = {
  schema: 1,
  agentId: 'dev',
  joinSecret: 'secret',
  door: '10.0.2.100:9090',
  vmGeneration: 3,
  network: 'internet',
  hostname: 'dev',
  diskBytes: 4_000_000_000,
  timeMs: 1_795_000_000_000,
};

describe('boot disk', () => {
  it('gives back what was written, in a disk of fixed size', () => {
    const disk = bootDiskOf(boot);
    expect(disk.length).to.equal(BOOT_DISK_BYTES);
    expect(readBootDisk(disk)).to.deep.equal(boot);
  });

  it('refuses what does not fit', () => {
    expect(() => bootDiskOf({ ...boot, joinSecret: 'x'.repeat(BOOT_DISK_BYTES) })).to.throw(/too long/);
  });

  it('names every field that is wrong', () => {
    const bad = { ...boot, agentId: '../x', vmGeneration: 0, network: 'host', joinSecret: 7 };
    expect(() => guestBootFrom(bad)).to.throw(/agentId.*joinSecret.*vmGeneration.*network/);
    for (const value of [undefined, null, 'x', [], 7]) expect(() => guestBootFrom(value)).to.throw(/schema/);
  });

  it('says so when it is empty, torn, or of a later kind', () => {
    expect(() => readBootDisk(Buffer.alloc(BOOT_DISK_BYTES))).to.throw(/must hold JSON/);
    expect(() => readBootDisk(bootDiskOf(boot).subarray(0, 20))).to.throw(/must hold JSON/);
    const later = Buffer.from(JSON.stringify({ ...boot, schema: 2 }));
    expect(() => readBootDisk(later)).to.throw(/older than its hub/);
  });
});
