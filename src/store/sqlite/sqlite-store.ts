import { statSync } from 'node:fs';
import { messageOf } from '../../base/errno.js';
import type { Logger } from '../../base/logger.js';
import type { AgentStore, EventStore, Store, TaskStore, ValueStore } from '../../hub/store.js';
import { HubError } from '../../model/hub-error.js';
import type { VmRecords } from '../../vm/vm-records.js';
import type { OutputIndex } from '../output/output-index.js';
import { Database } from './database.js';
import { corruptDatabase, findWalDamageIn, lookThrough } from './database-damage.js';
import { EventLog } from './event-log.js';
import { GroupCommit } from './group-commit.js';
import { checkVersion } from './schema.js';
import { migrateWithBackup } from './schema-backup.js';
import { SqliteAgentStore } from './sqlite-agent-store.js';
import { isStatementError, storeError } from './sqlite-errors.js';
import { SqliteEventStore } from './sqlite-event-store.js';
import { SqliteOutputIndex } from './sqlite-output-index.js';
import { SqliteTaskStore } from './sqlite-task-store.js';
import { SqliteValueStore } from './sqlite-value-store.js';
import { SqliteVmRecords } from './sqlite-vm-records.js';
import { TaskCache } from './task-cache.js';
import { TaskCounters } from './task-counters.js';
import { TaskTable } from './task-table.js';

/** Options of a {@link SqliteStore}. */
export interface SqliteStoreOptions {
  /** Database file; its directory must exist. */
  readonly path: string;
  readonly log: Logger;
}

interface Parts {
  readonly db: Database;
  readonly commits: GroupCommit;
  readonly tasks: TaskStore;
  readonly agents: AgentStore;
  readonly events: EventStore;
  readonly values: ValueStore;
  readonly vms: VmRecords;
  readonly outputIndex: OutputIndex;
}

/** Larger databases are looked through only after a hub that did not end cleanly: it takes about 4 s a GiB. */
const ALWAYS_CHECKED_BYTES = 256 * 1024 * 1024;

/** The hub's store in one SQLite file, with the machines' records and the index of the output log beside it. */
export class SqliteStore implements Store {
  private parts: Parts | undefined;
  private closed = false;

  constructor(private readonly options: SqliteStoreOptions) {}

  async open(): Promise<void> {
    if (this.parts || this.closed) throw new HubError('ILLEGAL_STATE', 'a store is opened once');
    const { path, log } = this.options;
    const { db, endedCleanly } = await openDatabase(path);
    try {
      checkVersion(db);
      if (!endedCleanly || statSync(path).size <= ALWAYS_CHECKED_BYTES) refuseDamage(path, lookThrough(db));
      await migrateWithBackup(db, path, log);
      this.parts = createParts(db);
    } catch (err) {
      db.close();
      throw openError(path, err);
    }
    this.options.log.info('store opened', { path: this.options.path });
  }

  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    this.parts?.commits.close();
    this.parts?.db.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async check(): Promise<void> {
    await this.values.set('store.checked', 'yes');
  }

  get tasks(): TaskStore {
    return this.opened().tasks;
  }

  get agents(): AgentStore {
    return this.opened().agents;
  }

  get events(): EventStore {
    return this.opened().events;
  }

  get values(): ValueStore {
    return this.opened().values;
  }

  /** Records of machines, for the VM manager. */
  get vms(): VmRecords {
    return this.opened().vms;
  }

  /** Index of the output log. */
  get outputIndex(): OutputIndex {
    return this.opened().outputIndex;
  }

  private opened(): Parts {
    if (this.parts) return this.parts;
    throw new HubError('ILLEGAL_STATE', 'the store of the hub is not open');
  }
}

interface OpenDatabase {
  readonly db: Database;
  /** Whether the hub before this one closed it. */
  readonly endedCleanly: boolean;
}

async function openDatabase(path: string): Promise<OpenDatabase> {
  const endedCleanly = (statSync(`${path}-wal`, { throwIfNoEntry: false })?.size ?? 0) === 0;
  try {
    refuseDamage(path, await findWalDamageIn(`${path}-wal`));
    return { db: await Database.open(path), endedCleanly };
  } catch (err) {
    throw openError(path, err);
  }
}

function refuseDamage(path: string, findings: readonly string[]): void {
  if (findings.length > 0) throw corruptDatabase(path, findings);
}

/** Errors of a disk that cannot be read pass as they are; damage is named with what to do about it. */
function openError(path: string, err: unknown): unknown {
  if (isStatementError(err)) return corruptDatabase(path, [messageOf(err)]);
  const error = storeError(err);
  const damage =
    error instanceof HubError && error.reason === 'STORE_CORRUPT' && error.metadata.path === undefined;
  return damage ? corruptDatabase(path, [messageOf(err)]) : error;
}

function createParts(db: Database): Parts {
  const cache = new TaskCache();
  const counters = new TaskCounters();
  counters.load(db);
  const log = new EventLog(db);
  log.load();
  const commits = new GroupCommit(db, [counters, cache, log]);
  return {
    db,
    commits,
    tasks: new SqliteTaskStore(commits, new TaskTable(db, counters, log, cache)),
    agents: new SqliteAgentStore(commits, db),
    events: new SqliteEventStore(commits, log),
    values: new SqliteValueStore(commits, db),
    vms: new SqliteVmRecords(commits, db),
    outputIndex: new SqliteOutputIndex(commits, db),
  };
}
