import type { ValueStore } from '../../hub/store.js';
import type { Database } from './database.js';
import type { GroupCommit } from './group-commit.js';

/** Small values in SQLite. */
export class SqliteValueStore implements ValueStore {
  constructor(
    private readonly commits: GroupCommit,
    private readonly db: Database,
  ) {}

  get(key: string): Promise<string | undefined> {
    const sql = 'SELECT value FROM "values" WHERE key = ?';
    return this.commits.read(() => this.db.get<{ value: string }>(sql, key)?.value);
  }

  set(key: string, value: string): Promise<void> {
    const sql =
      'INSERT INTO "values" (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value';
    return this.commits.write(() => void this.db.run(sql, key, value));
  }
}
