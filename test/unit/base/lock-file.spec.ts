import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { isLock, lockHolder, takeLock } from '../../../src/base/lock-file.js';
import { SmallDisk } from '../../support/small-disk.js';

describe('takeLock', () => {
  let dir: string;
  let path: string;
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'lock-'));
    path = join(dir, 'a.lock');
  });
  afterEach(() => rm(dir, { recursive: true }));

  it('gives the lock once, and again after it was given back', async () => {
    const first = await takeLock(path);
    if (!isLock(first)) throw new Error('not locked');
    expect(await takeLock(path)).to.include({ pid: process.pid });
    await first.close();
    const second = await takeLock(path);
    expect(isLock(second)).to.equal(true);
    if (isLock(second)) await second.close();
    expect(await readdir(dir)).to.deep.equal([]);
  });

  it('takes over the lock of a process that is dead', async () => {
    const child = spawn(process.execPath, ['-e', '']);
    await once(child, 'exit');
    await writeFile(path, JSON.stringify({ pid: child.pid }));
    expect(await lockHolder(path)).to.equal(undefined);
    expect(isLock(await takeLock(path))).to.equal(true);
  });

  it('takes over the lock of an older process with the same pid, and a torn file', async () => {
    for (const text of [JSON.stringify({ pid: process.pid, startTicks: 1 }), '{"pid":', '']) {
      await writeFile(path, text);
      const lock = await takeLock(path);
      expect(isLock(lock), text).to.equal(true);
      if (isLock(lock)) await lock.close();
    }
  });

  it('lets exactly one of many have a stale lock', async () => {
    await writeFile(path, 'stale');
    const results = await Promise.all(Array.from({ length: 20 }, () => takeLock(path)));
    expect(results.filter(isLock)).to.have.length(1);
  });

  it('leaves nothing on a full disk', function () {
    if (!SmallDisk.possible) {
      process.stderr.write('SKIPPED: a lock on a full disk, which needs root to mount a small one\n');
      return this.skip();
    }
    return onFullDisk(async (full) => {
      const before = await readdir(full);
      const err = await takeLock(join(full, 'lock')).catch((thrown: unknown) => thrown);
      expect(err).to.include({ code: 'ENOSPC' });
      expect(await readdir(full)).to.deep.equal(before);
    });
  });
});

async function onFullDisk(work: (dir: string) => Promise<void>): Promise<void> {
  using disk = new SmallDisk(1);
  disk.fill();
  await work(disk.dir);
}
