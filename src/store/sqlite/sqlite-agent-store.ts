import type { AgentChange, AgentStore, SessionFacts } from '../../hub/store.js';
import type { AgentCounters, AgentRecord } from '../../model/agent.js';
import { HubError } from '../../model/hub-error.js';
import type { Database } from './database.js';
import type { GroupCommit } from './group-commit.js';
import { sealed, unsealed } from './sealed-json.js';

/** Key of the highest session generation of agents that are gone: one that comes back goes on from there. */
const GENERATION_FLOOR = 'agents.session_generation_floor';

/** The part of a record that has no columns of its own. `found` is what the agent itself reports. */
interface RecordJson
  extends Omit<AgentRecord, 'id' | 'counters' | 'sessionGeneration' | 'journalId' | 'ackedSequence'> {
  readonly found: readonly string[];
}

interface AgentRow {
  readonly id: string;
  readonly record: string;
  readonly session_generation: number;
  readonly journal_id: string;
  readonly acked_sequence: number;
  readonly tasks_received: number;
  readonly tasks_completed: number;
  readonly tasks_failed: number;
}

/** Agents in SQLite. */
export class SqliteAgentStore implements AgentStore {
  constructor(
    private readonly commits: GroupCommit,
    private readonly db: Database,
  ) {}

  create(agent: AgentRecord): Promise<void> {
    return this.commits.write(() => this.insert(agent));
  }

  get(id: string): Promise<AgentRecord | undefined> {
    return this.commits.read(() => {
      const row = this.row(id);
      return row && recordOf(row);
    });
  }

  list(): Promise<readonly AgentRecord[]> {
    return this.commits.read(() => this.db.all<AgentRow>('SELECT * FROM agents ORDER BY id').map(recordOf));
  }

  update(id: string, { counters, ...change }: AgentChange): Promise<AgentRecord> {
    return this.commits.write(() => {
      this.setJson(id, { ...jsonOf(this.existing(id)), ...change });
      if (counters) this.setCounters(id, counters);
      return recordOf(this.existing(id));
    });
  }

  openSession(id: string, hello: SessionFacts): Promise<AgentRecord> {
    return this.commits.write(() => {
      const json = jsonOf(this.existing(id));
      const vmGeneration = Math.max(json.vmGeneration, hello.vmGeneration);
      const { version, capabilities: found, atMs: lastSeenMs } = hello;
      this.setJson(id, { ...json, vmGeneration, version, found, lastSeenMs });
      this.db.run(
        `UPDATE agents SET session_generation = session_generation + 1, journal_id = ?,
           acked_sequence = CASE WHEN journal_id = ? THEN min(acked_sequence, ?) ELSE 0 END WHERE id = ?`,
        hello.journalId,
        hello.journalId,
        hello.journalSequence,
        id,
      );
      return recordOf(this.existing(id));
    });
  }

  remove(id: string): Promise<void> {
    return this.commits.write(() => {
      const row = this.row(id);
      if (!row) return;
      this.db.run(
        'INSERT INTO "values" (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value',
        GENERATION_FLOOR,
        String(Math.max(this.floor(), row.session_generation)),
      );
      this.db.run('DELETE FROM agents WHERE id = ?', id);
    });
  }

  private insert(agent: AgentRecord): void {
    const { id, counters, sessionGeneration, journalId, ackedSequence, ...rest } = agent;
    if (this.row(id)) {
      const message = `agent ${id} exists already; take another name, or destroy it first`;
      throw new HubError('AGENT_EXISTS', message, { metadata: { agent: id } });
    }
    const record: RecordJson = { ...rest, found: [] };
    this.db.run(
      'INSERT INTO agents VALUES (?, ?, ?, ?, ?, ?, ?, ?)',
      id,
      sealed(record),
      Math.max(sessionGeneration, this.floor()),
      journalId,
      ackedSequence,
      counters.tasksReceived,
      counters.tasksCompleted,
      counters.tasksFailed,
    );
  }

  private row(id: string): AgentRow | undefined {
    return this.db.get<AgentRow>('SELECT * FROM agents WHERE id = ?', id);
  }

  private existing(id: string): AgentRow {
    const row = this.row(id);
    if (row) return row;
    throw new HubError('AGENT_NOT_FOUND', `agent ${id} does not exist`, { metadata: { agent: id } });
  }

  private floor(): number {
    const row = this.db.get<{ value: string }>('SELECT value FROM "values" WHERE key = ?', GENERATION_FLOOR);
    return Number(row?.value ?? 0);
  }

  private setJson(id: string, record: RecordJson): void {
    this.db.run('UPDATE agents SET record = ? WHERE id = ?', sealed(record), id);
  }

  private setCounters(id: string, { tasksReceived, tasksCompleted, tasksFailed }: AgentCounters): void {
    const sql = 'UPDATE agents SET tasks_received = ?, tasks_completed = ?, tasks_failed = ? WHERE id = ?';
    this.db.run(sql, tasksReceived, tasksCompleted, tasksFailed, id);
  }
}

function jsonOf(row: AgentRow): RecordJson {
  return unsealed<RecordJson>(row.record);
}

function recordOf(row: AgentRow): AgentRecord {
  const { found, ...json } = jsonOf(row);
  return {
    ...json,
    id: row.id,
    capabilities: [...new Set([...json.capabilities, ...found])],
    counters: {
      tasksReceived: row.tasks_received,
      tasksCompleted: row.tasks_completed,
      tasksFailed: row.tasks_failed,
    },
    sessionGeneration: row.session_generation,
    journalId: row.journal_id,
    ackedSequence: row.acked_sequence,
  };
}
