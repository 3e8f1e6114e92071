import { chmodSync, closeSync, openSync } from 'node:fs';
import {
  openConnection,
  type SqliteConnection,
  type SqliteStatement,
  type SqlValue,
} from './sqlite-binding.js';

/** How long another process may hold the database, in milliseconds. The event loop stands still meanwhile. */
const BUSY_TIMEOUT_MS = 1000;

/** The WAL is copied into the database every so many pages of 4 KiB, and is cut to this size afterwards. */
const CHECKPOINT_PAGES = 4000;
const WAL_LIMIT_BYTES = 64 * 1024 * 1024;

/** One connection with its prepared statements. Statements are constants of the code, so that few are kept. */
export class Database {
  /** Counts statements that changed rows. */
  writes = 0;
  private readonly statements = new Map<string, SqliteStatement>();

  private constructor(
    private readonly connection: SqliteConnection,
    private readonly mayWrite = true,
  ) {}

  /** Opens or creates the file, which only its owner can read. Every commit is durable. */
  static async open(path: string): Promise<Database> {
    closeSync(openSync(path, 'a', 0o600));
    chmodSync(path, 0o600);
    const db = new Database(await openConnection(path));
    try {
      db.configure();
    } catch (err) {
      db.close();
      throw err;
    }
    return db;
  }

  /** Opens a file that is damaged, to read what can be read. Nothing of it is changed. */
  static async openDamaged(path: string): Promise<Database> {
    const db = new Database(await openConnection(path), false);
    for (const pragma of ['wal_autocheckpoint = 0', 'query_only = 1', 'writable_schema = 1']) {
      try {
        db.exec(`PRAGMA ${pragma}`);
      } catch {
        // Each helps by itself, and none of them is needed.
      }
    }
    return db;
  }

  /** Runs statements without parameters. */
  exec(sql: string): void {
    this.connection.exec(sql);
  }

  /** The first row. `T` is what the caller knows of the columns. */
  get<T>(sql: string, ...values: SqlValue[]): T | undefined {
    return this.prepare(sql).get(...values) as T | undefined;
  }

  /** All rows. */
  all<T>(sql: string, ...values: SqlValue[]): readonly T[] {
    return this.prepare(sql).all(...values) as T[];
  }

  /** Changes rows; answers how many. */
  run(sql: string, ...values: SqlValue[]): number {
    const changes = Number(this.prepare(sql).run(...values).changes);
    if (changes > 0) this.writes++;
    return changes;
  }

  /** Copies the write-ahead log into the database and empties it, which is how the next one knows of a clean end. */
  close(): void {
    try {
      if (this.mayWrite) this.exec('PRAGMA wal_checkpoint(TRUNCATE)');
    } catch {
      // The log stays and is read when the database is opened again.
    }
    this.statements.clear();
    this.connection.close();
  }

  private configure(): void {
    this.exec(`PRAGMA busy_timeout = ${BUSY_TIMEOUT_MS}`);
    this.exec('PRAGMA journal_mode = WAL');
    this.exec('PRAGMA synchronous = FULL');
    this.exec('PRAGMA foreign_keys = ON');
    this.exec(`PRAGMA wal_autocheckpoint = ${CHECKPOINT_PAGES}`);
    this.exec(`PRAGMA journal_size_limit = ${WAL_LIMIT_BYTES}`);
    this.exec('PRAGMA cache_size = -32768');
  }

  private prepare(sql: string): SqliteStatement {
    let statement = this.statements.get(sql);
    if (!statement) {
      statement = this.connection.prepare(sql);
      this.statements.set(sql, statement);
    }
    return statement;
  }
}
