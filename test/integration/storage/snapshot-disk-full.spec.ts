import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { machinePaths } from '../../../src/vm/providers/local/machine-files.js';
import { SnapshotFiles } from '../../../src/vm/providers/local/snapshots.js';
import { Trees } from '../../../src/vm/providers/local/trees.js';
import { SmallDisk } from '../../support/small-disk.js';

describe('a snapshot on a disk that is too small (fault case 121)', () => {
  it('fails with DISK_FULL and leaves nothing of itself', async function () {
    if (!SmallDisk.possible) this.skip();
    using disk = new SmallDisk(16);
    const paths = machinePaths(disk.dir, 'dev');
    for (const dir of [paths.root, paths.snapshots]) mkdirSync(dir, { recursive: true });
    writeFileSync(join(paths.root, 'big'), Buffer.alloc(10 * 1024 * 1024));
    const free = disk.free;
    const files = new SnapshotFiles(new Trees(async () => []));
    const about = { name: 's', agent: 'dev', createMs: 1, live: false, description: '' };
    const taking = files.take(paths, about, new AbortController().signal);
    expect(await taking.catch((err: { reason: string }) => err.reason)).to.equal('DISK_FULL');
    expect(readdirSync(paths.snapshots)).to.deep.equal([]);
    expect(await files.list(paths)).to.deep.equal([]);
    expect(disk.free).to.equal(free);
  });
});
