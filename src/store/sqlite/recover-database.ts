import { existsSync } from 'node:fs';
import { copyFile, open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { Database } from './database.js';
import { findWalDamageIn, lookThrough } from './database-damage.js';
import { knowsTables, mendHeader, mendSchema } from './mend-copy.js';
import { type LostRows, SALVAGED_TABLES, salvage } from './salvage.js';
import { checkVersion, migrate } from './schema.js';

/** What a recovery did. */
export interface Recovery {
  /** Where the damaged database is now; undefined when nothing was wrong, and nothing was done. */
  readonly keptAs: string | undefined;
  /** What was wrong with the file. */
  readonly findings: readonly string[];
  /** Rows that are in the new database, per table. */
  readonly kept: Readonly<Record<string, number>>;
  readonly lost: readonly LostRows[];
}

/**
 * Replaces a damaged database by a new one with everything in it that can still be read. The damaged one stays
 * beside it, under a name with `.damaged-` and the time. Killed in the middle it can be run again.
 *
 * @throws HubError SCHEMA_TOO_NEW, DISK_FULL.
 */
export async function recoverDatabase(path: string, nowMs: number): Promise<Recovery> {
  if (!existsSync(path)) return { keptAs: undefined, findings: [], kept: {}, lost: [] };
  const [keptAs, draft, fresh] = [`${path}.damaged-${nowMs}`, `${path}.salvage`, `${path}.recovered`];
  for (const left of [draft, fresh]) await removeDatabase(left);
  const wal = await findWalDamageIn(`${path}-wal`);
  await copyDatabase(path, keptAs);
  await copyDatabase(path, draft);
  const { kept, lost, findings } = await salvageInto(draft, fresh);
  await removeDatabase(draft);
  const wrong = [...wal, ...findings];
  if (wrong.length === 0 && lost.length === 0) {
    for (const copy of [keptAs, fresh]) await removeDatabase(copy);
    return { keptAs: undefined, findings: [], kept, lost };
  }
  // The log of the old database must never be taken for one of the new.
  for (const suffix of ['-wal', '-shm']) await rm(path + suffix, { force: true });
  await rename(fresh, path);
  await rm(`${fresh}-wal`, { force: true });
  await rm(`${fresh}-shm`, { force: true });
  await syncDirectory(dirname(path));
  return { keptAs, findings: wrong, kept, lost };
}

async function salvageInto(draft: string, fresh: string): Promise<Omit<Recovery, 'keptAs'>> {
  const target = await Database.open(fresh);
  let source: Database | undefined;
  try {
    migrate(target);
    target.exec('PRAGMA wal_checkpoint(TRUNCATE)');
    await mendHeader(draft);
    source = await Database.openDamaged(draft);
    const schema = knowsTables(source, target, SALVAGED_TABLES) ? [] : ['its schema cannot be read'];
    if (schema.length > 0) {
      source.close();
      await mendSchema(draft, target, fresh);
      source = await Database.openDamaged(draft);
    } else checkVersion(source);
    const findings = [...schema, ...lookThrough(source)];
    return { ...salvage(source, target), findings };
  } finally {
    source?.close();
    target.close();
  }
}

async function copyDatabase(from: string, to: string): Promise<void> {
  await copyFile(from, to);
  if (existsSync(`${from}-wal`)) await copyFile(`${from}-wal`, `${to}-wal`);
}

async function removeDatabase(path: string): Promise<void> {
  for (const suffix of ['', '-wal', '-shm']) await rm(path + suffix, { force: true });
}

async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
