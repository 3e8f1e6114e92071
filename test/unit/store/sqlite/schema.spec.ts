import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { silentLogger } from '../../../../src/base/logger.js';
import { Database } from '../../../../src/store/sqlite/database.js';
import { MIGRATIONS, migrate } from '../../../../src/store/sqlite/schema.js';
import { SqliteStore } from '../../../../src/store/sqlite/sqlite-store.js';

describe('the schema', () => {
  let dir: string;
  let path: string;

  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'schema-'));
    path = join(dir, 'hub.db');
  });

  afterEach(() => rm(dir, { recursive: true }));

  const withDatabase = async (work: (db: Database) => void) => {
    const db = await Database.open(path);
    try {
      work(db);
    } finally {
      db.close();
    }
  };
  const version = (db: Database) => db.get<{ user_version: number }>('PRAGMA user_version')?.user_version;
  const openError = async () => {
    const store = new SqliteStore({ path, log: silentLogger });
    const err = await store.open().catch((thrown: unknown) => thrown);
    await store.close();
    return err;
  };

  it('takes each step once, each in a transaction of its own', async () => {
    await withDatabase((db) => {
      migrate(db, ['CREATE TABLE a (x)', 'CREATE TABLE b (x)']);
      migrate(db, ['CREATE TABLE a (x)', 'CREATE TABLE b (x)', 'CREATE TABLE c (x)']);
      expect(version(db)).to.equal(3);
      expect(() => migrate(db, ['', '', '', 'CREATE TABLE d (x); CREATE TABLE a (x)'])).to.throw(
        'already exists',
      );
      expect(version(db)).to.equal(3);
      expect(db.get("SELECT 1 FROM sqlite_schema WHERE name = 'd'")).to.equal(undefined);
    });
  });

  it('refuses a database that a newer hub wrote', async () => {
    await withDatabase((db) => db.exec(`PRAGMA user_version = ${MIGRATIONS.length + 1}`));
    expect(await openError()).to.have.property('reason', 'SCHEMA_TOO_NEW');
  });

  it('refuses a file that is no database', async () => {
    await writeFile(path, 'this is not a database, it only pretends to be one'.repeat(100));
    expect(await openError()).to.have.property('reason', 'STORE_CORRUPT');
  });
});
