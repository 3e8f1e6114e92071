import { open, rename, rm } from 'node:fs/promises';
import type { Logger } from '../../base/logger.js';
import type { Database } from './database.js';
import { checkVersion, MIGRATIONS, migrate } from './schema.js';

/**
 * As {@link migrate}, after a copy of an older database was put beside it (`.schema-N.backup`), which the hub that
 * wrote it can still open. Killed in the middle, the next start goes on: each step is whole or not there.
 */
export async function migrateWithBackup(
  db: Database,
  path: string,
  log: Logger,
  migrations: readonly string[] = MIGRATIONS,
): Promise<void> {
  const version = checkVersion(db, migrations);
  if (version > 0 && version < migrations.length) {
    const backup = `${path}.schema-${version}.backup`;
    await backUp(db, backup);
    log.info('the database is brought to a newer schema', { from: version, to: migrations.length, backup });
  }
  migrate(db, migrations);
}

async function backUp(db: Database, backup: string): Promise<void> {
  const partial = `${backup}.partial`;
  await rm(partial, { force: true });
  db.run('VACUUM INTO ?', partial);
  const file = await open(partial, 'r+');
  try {
    await file.chmod(0o600);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(partial, backup);
}
