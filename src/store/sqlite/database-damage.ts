import { readFile } from 'node:fs/promises';
import { isErrno, messageOf } from '../../base/errno.js';
import { HubError } from '../../model/hub-error.js';
import type { Database } from './database.js';
import { storeError } from './sqlite-errors.js';
import { findWalDamage } from './wal-damage.js';

/** Damage that is told of; more is not looked for. */
const MAX_FINDINGS = 20;

/** Damage of a write-ahead log that SQLite would pass over in silence, in words. */
export async function findWalDamageIn(path: string): Promise<readonly string[]> {
  const at = findWalDamage(await readIfThere(path));
  return at === undefined ? [] : [`${path} is damaged at byte ${at}, in front of commits that were stored`];
}

/**
 * Looks through the whole database and answers what is wrong, in words. The texts of records are not looked at: each
 * has a checksum of its own, for when it is read.
 */
export function lookThrough(db: Database): readonly string[] {
  try {
    const rows = db.all<{ integrity_check: string }>(`PRAGMA integrity_check(${MAX_FINDINGS})`);
    return rows.map((row) => row.integrity_check.replaceAll('\n', ' ')).filter((text) => text !== 'ok');
  } catch (err) {
    const error = storeError(err);
    if (error instanceof HubError && error.reason === 'STORE_CORRUPT') return [messageOf(err)];
    throw error;
  }
}

/** A refusal that says what to do. */
export function corruptDatabase(path: string, findings: readonly string[]): HubError {
  const [first = 'not readable'] = findings;
  const message =
    `the database ${path} is damaged (${first}). Put a backup in its place, or run \`vm-agent hub --recover\`, ` +
    'which keeps what can be read, lists what is lost, and leaves the damaged file beside the new one';
  return new HubError('STORE_CORRUPT', message, { metadata: { path, findings: findings.join('; ') } });
}

async function readIfThere(path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (err) {
    if (isErrno(err, 'ENOENT')) return Buffer.alloc(0);
    throw err;
  }
}
