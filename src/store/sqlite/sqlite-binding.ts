/** A value of a column or parameter. */
export type SqlValue = string | number | null;

/** A prepared statement, as in `node:sqlite`. */
export interface SqliteStatement {
  run(...values: SqlValue[]): { readonly changes: number | bigint };
  get(...values: SqlValue[]): unknown;
  all(...values: SqlValue[]): unknown[];
}

/** A connection, as in `node:sqlite`. All of it is synchronous. */
export interface SqliteConnection {
  exec(sql: string): void;
  prepare(sql: string): SqliteStatement;
  close(): void;
}

interface SqliteModule {
  readonly DatabaseSync: new (path: string) => SqliteConnection;
}

/** Opens a database file with the SQLite of Node.js, or with the package of the same API where Node has none. */
export async function openConnection(path: string): Promise<SqliteConnection> {
  const { DatabaseSync } = (await builtIn()) ?? ((await import('@photostructure/sqlite')) as SqliteModule);
  return new DatabaseSync(path);
}

/** Node.js 22.13 and later have it without a flag. A name in a variable keeps bundlers and types away from it. */
async function builtIn(): Promise<SqliteModule | undefined> {
  const name = 'node:sqlite';
  try {
    return (await import(name)) as SqliteModule;
  } catch {
    return undefined;
  }
}
