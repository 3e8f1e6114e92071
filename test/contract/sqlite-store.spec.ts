import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { silentLogger } from '../../src/base/logger.js';
import { SqliteStore } from '../../src/store/sqlite/sqlite-store.js';
import { storeSuite } from './store-suite.js';

storeSuite('SqliteStore', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'sqlite-store-'));
  return {
    open: async () => {
      const store = new SqliteStore({ path: join(dir, 'hub.db'), log: silentLogger });
      await store.open();
      return store;
    },
    cleanUp: () => rm(dir, { recursive: true, force: true }),
  };
});
