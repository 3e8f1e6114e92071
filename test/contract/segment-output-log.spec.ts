import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { silentLogger } from '../../src/base/logger.js';
import { SegmentOutputLog } from '../../src/store/output/segment-output-log.js';
import { SqliteStore } from '../../src/store/sqlite/sqlite-store.js';
import { outputLogSuite } from './output-log-suite.js';

const SEGMENT_BYTES = 20_000;

outputLogSuite('SegmentOutputLog', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'output-log-'));
  const store = new SqliteStore({ path: join(dir, 'hub.db'), log: silentLogger });
  await store.open();
  return {
    segmentBytes: SEGMENT_BYTES,
    open: async () => {
      const index = store.outputIndex;
      const options = { dir: join(dir, 'output'), index, log: silentLogger, segmentBytes: SEGMENT_BYTES };
      const log = new SegmentOutputLog(options);
      await log.open();
      return log;
    },
    cleanUp: async () => {
      await store.close();
      await rm(dir, { recursive: true, force: true });
    },
  };
});
