import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { silentLogger } from '../../../../src/base/logger.js';
import type { Vm } from '../../../../src/model/vm.js';
import { SqliteStore } from '../../../../src/store/sqlite/sqlite-store.js';

function vm(name: string, change: Partial<Vm> = {}): Vm {
  return {
    name,
    provider: 'local',
    state: 'RUNNING',
    resources: { cpu: 1, memoryBytes: 2 ** 30, diskBytes: 2 ** 33 },
    isolation: {
      kind: 'directory',
      securityBoundary: false,
      privatePaths: [],
      notEnforced: ['cpu'],
      notes: [],
    },
    stages: [{ name: 'boot', detail: '', durationMs: 12.5 }],
    error: '',
    generation: 1,
    image: '',
    address: '',
    network: 'host',
    allowHostSudo: false,
    createMs: 1,
    ...change,
  };
}

describe('SqliteVmRecords', () => {
  it('keeps machines by name, also over a restart', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'vm-records-'));
    try {
      const open = async () => {
        const store = new SqliteStore({ path: join(dir, 'hub.db'), log: silentLogger });
        await store.open();
        return store;
      };
      {
        await using store = await open();
        for (const name of ['b', 'a', 'c']) await store.vms.put(vm(name));
        await store.vms.put(vm('a', { state: 'STOPPED', generation: 2 }));
        await store.vms.remove('c');
        await store.vms.remove('c');
      }
      await using store = await open();
      expect(await store.vms.list()).to.deep.equal([vm('a', { state: 'STOPPED', generation: 2 }), vm('b')]);
    } finally {
      await rm(dir, { recursive: true });
    }
  });
});
