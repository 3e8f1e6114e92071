import type { Logger } from '../../base/logger.js';
import type { AgentStore, EventStore, Store, TaskStore, ValueStore } from '../../hub/store.js';
import { HubError } from '../../model/hub-error.js';
import type { VmRecords } from '../../vm/vm-records.js';
import type { OutputIndex } from '../output/output-index.js';
import { Database } from './database.js';
import { EventLog } from './event-log.js';
import { GroupCommit } from './group-commit.js';
import { migrate } from './schema.js';
import { SqliteAgentStore } from './sqlite-agent-store.js';
import { storeError } from './sqlite-errors.js';
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

/** The hub's store in one SQLite file, with the machines' records and the index of the output log beside it. */
export class SqliteStore implements Store {
  private parts: Parts | undefined;
  private closed = false;

  constructor(private readonly options: SqliteStoreOptions) {}

  async open(): Promise<void> {
    if (this.parts || this.closed) throw new HubError('ILLEGAL_STATE', 'a store is opened once');
    const db = await openDatabase(this.options.path);
    try {
      this.parts = createParts(db);
    } catch (err) {
      db.close();
      throw storeError(err);
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

async function openDatabase(path: string): Promise<Database> {
  try {
    return await Database.open(path);
  } catch (err) {
    throw storeError(err);
  }
}

function createParts(db: Database): Parts {
  migrate(db);
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
