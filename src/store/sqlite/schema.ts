import { HubError } from '../../model/hub-error.js';
import type { Database } from './database.js';

/**
 * The schema, one step a version. A step that was released is never changed; a new one is added.
 *
 * tasks.owner is the agent that a task is for or was given to, or '' while it waits in the pool. tasks.phase is
 * 0 while QUEUED, 1 in the hand of an agent, 2 when ended. The indexes of unfinished tasks are partial, so that
 * history costs the scheduler nothing.
 */
export const MIGRATIONS: readonly string[] = [
  `
  CREATE TABLE tasks (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    idempotency_key TEXT,
    owner TEXT NOT NULL,
    lane TEXT NOT NULL,
    phase INTEGER NOT NULL,
    state TEXT NOT NULL,
    type TEXT NOT NULL,
    stop INTEGER NOT NULL,
    unmet INTEGER NOT NULL,
    priority INTEGER NOT NULL,
    capabilities TEXT NOT NULL,
    expire_ms INTEGER,
    end_ms INTEGER,
    dead INTEGER NOT NULL,
    spec TEXT NOT NULL,
    details TEXT NOT NULL
  ) STRICT;
  CREATE UNIQUE INDEX tasks_key ON tasks (idempotency_key) WHERE idempotency_key IS NOT NULL;
  CREATE INDEX tasks_owner ON tasks (owner, sequence);
  CREATE INDEX tasks_lanes ON tasks (owner, lane, sequence) WHERE phase < 2;
  CREATE INDEX tasks_in_hand ON tasks (owner, sequence) WHERE phase = 1;
  CREATE INDEX tasks_pool ON tasks (capabilities, lane, priority DESC, sequence)
    WHERE phase = 0 AND owner = '' AND unmet = 0;
  CREATE INDEX tasks_expiring ON tasks (expire_ms) WHERE phase = 0 AND expire_ms IS NOT NULL;
  CREATE INDEX tasks_ended ON tasks (end_ms) WHERE phase = 2;
  CREATE INDEX tasks_dead ON tasks (sequence) WHERE dead = 1;

  CREATE TABLE attempts (
    task INTEGER NOT NULL REFERENCES tasks (sequence) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    record TEXT NOT NULL,
    PRIMARY KEY (task, number)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE task_dependencies (
    needs INTEGER NOT NULL REFERENCES tasks (sequence) ON DELETE CASCADE,
    task INTEGER NOT NULL REFERENCES tasks (sequence) ON DELETE CASCADE,
    PRIMARY KEY (needs, task)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX task_dependencies_task ON task_dependencies (task);

  CREATE TABLE agents (
    id TEXT PRIMARY KEY,
    record TEXT NOT NULL,
    session_generation INTEGER NOT NULL,
    journal_id TEXT NOT NULL,
    acked_sequence INTEGER NOT NULL,
    tasks_received INTEGER NOT NULL,
    tasks_completed INTEGER NOT NULL,
    tasks_failed INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE events (
    last INTEGER PRIMARY KEY,
    first INTEGER NOT NULL,
    records TEXT NOT NULL
  ) STRICT;

  CREATE TABLE "values" (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE vms (
    name TEXT PRIMARY KEY,
    record TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE output_streams (
    task TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    stream TEXT NOT NULL,
    next_offset INTEGER NOT NULL,
    lost_bytes INTEGER NOT NULL,
    position INTEGER NOT NULL,
    PRIMARY KEY (task, attempt, stream)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX output_streams_position ON output_streams (position);

  CREATE TABLE output_extents (
    scope TEXT NOT NULL,
    start INTEGER NOT NULL,
    end INTEGER NOT NULL,
    PRIMARY KEY (scope, start)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX output_extents_start ON output_extents (start);

  CREATE TABLE output_log (
    id INTEGER PRIMARY KEY CHECK (id = 0),
    oldest INTEGER NOT NULL,
    end INTEGER NOT NULL
  ) STRICT;
  INSERT INTO output_log (id, oldest, end) VALUES (0, 0, 0);
  `,
  `
  ALTER TABLE tasks ADD COLUMN fenced_by TEXT;
  CREATE INDEX tasks_fenced ON tasks (fenced_by, sequence) WHERE fenced_by IS NOT NULL;
  `,
];

/**
 * Brings the schema to the newest version, each step in a transaction of its own.
 *
 * @throws HubError SCHEMA_TOO_NEW when a newer hub wrote the database.
 */
export function migrate(db: Database, migrations: readonly string[] = MIGRATIONS): void {
  const version = checkVersion(db, migrations);
  migrations.slice(version).forEach((step, i) => {
    apply(db, step, version + i + 1);
  });
}

/** Answers the version of the schema; 0 for a new file. @throws HubError SCHEMA_TOO_NEW. */
export function checkVersion(db: Database, migrations: readonly string[] = MIGRATIONS): number {
  const version = db.get<{ user_version: number }>('PRAGMA user_version')?.user_version ?? 0;
  if (version <= migrations.length) return version;
  const message = `the database has schema ${version}; this hub knows up to ${migrations.length}: use a newer hub`;
  const metadata = { schema: String(version), known: String(migrations.length) };
  throw new HubError('SCHEMA_TOO_NEW', message, { metadata });
}

function apply(db: Database, step: string, version: number): void {
  db.exec('BEGIN IMMEDIATE');
  try {
    db.exec(step);
    db.exec(`PRAGMA user_version = ${version}`);
    db.exec('COMMIT');
  } catch (err) {
    db.exec('ROLLBACK');
    throw err;
  }
}
