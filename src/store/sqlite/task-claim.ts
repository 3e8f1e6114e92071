import type { ClaimQuery } from '../../hub/store.js';
import { DEFAULT_LANE, type Task } from '../../model/task.js';
import { lanesOf } from './task-intake.js';
import { POOL } from './task-row.js';
import type { TaskTable } from './task-table.js';

/** Most lanes that one claim looks at. Lanes are limited when tasks are accepted. */
const MAX_LANES = 10_000;

interface LaneRow {
  readonly sequence: number;
  readonly id: string;
  readonly phase: number;
  readonly stop: number;
  readonly unmet: number;
}

interface Candidate {
  readonly sequence: number;
  readonly id: string;
  /** Place in its lane, so that every lane gets its first task before another gets its second. */
  readonly depth: number;
}

interface PoolRow {
  readonly sequence: number;
  readonly id: string;
  readonly lane: string;
  readonly priority: number;
  readonly stop: number;
}

/** Chooses the tasks that an agent gets next. Costs grow with lanes, not with the tasks that wait. */
export class TaskClaim {
  constructor(private readonly table: TaskTable) {}

  /** See TaskStore.claim. */
  claim(query: ClaimQuery): readonly Task[] {
    const sql = 'SELECT 1 FROM agents WHERE id = ? AND session_generation = ?';
    if (!this.table.db.get(sql, query.agent, query.sessionGeneration)) return [];
    const own = this.take(query, this.fromLanes(query, this.free(query)));
    return [...own, ...this.take(query, this.fromPool(query, this.free(query)))];
  }

  /** Tasks that the agent may get at most. */
  private free({ agent, slots }: ClaimQuery): number {
    const { dispatched, running } = this.table.counters.of(agent);
    return slots - dispatched - running;
  }

  private take({ agent, nowMs }: ClaimQuery, ids: readonly string[]): readonly Task[] {
    return ids.flatMap((id) => {
      const stored = this.table.byId(id);
      if (!stored) return [];
      return [this.table.change(stored, { type: 'dispatch', agent, atMs: nowMs }, nowMs).task];
    });
  }

  /** Ids of the agent's own tasks that may go now, in order of acceptance. */
  private fromLanes({ agent, window }: ClaimQuery, free: number): readonly string[] {
    if (free <= 0 || this.table.counters.of(agent).queued === 0) return [];
    const lanes = lanesOf(this.table, agent, MAX_LANES);
    const candidates = lanes.flatMap((lane) => this.ofLane(agent, lane, window));
    candidates.sort((a, b) => a.depth - b.depth || a.sequence - b.sequence);
    const chosen = candidates.slice(0, free).sort((a, b) => a.sequence - b.sequence);
    return chosen.map((candidate) => candidate.id);
  }

  private ofLane(agent: string, lane: string, window: number): readonly Candidate[] {
    const sql = `SELECT sequence, id, phase, stop, unmet FROM tasks INDEXED BY tasks_lanes
      WHERE owner = ? AND lane = ? AND phase < 2 ORDER BY sequence LIMIT ?`;
    const found: Candidate[] = [];
    for (const [depth, row] of this.table.db.all<LaneRow>(sql, agent, lane, window).entries()) {
      if (row.phase === 0 && row.unmet > 0) break;
      if (row.phase === 0) found.push({ sequence: row.sequence, id: row.id, depth });
      if (row.stop === 1) break;
    }
    return found;
  }

  /** Ids of pooled tasks for this agent, by priority and then age. */
  private fromPool(query: ClaimQuery, free: number): readonly string[] {
    if (free <= 0 || this.table.counters.of(POOL).queued === 0) return [];
    const rooms = this.rooms(query);
    const found = this.capabilityKeys()
      .filter((key) => isSubset(key, query.capabilities))
      .flatMap((key) => this.ofKey(key, (lane) => Math.min(free, rooms.get(lane) ?? roomOf(query, lane))));
    found.sort((a, b) => b.priority - a.priority || a.sequence - b.sequence);
    return pick(found, free, (lane) => rooms.get(lane) ?? roomOf(query, lane));
  }

  /** How many more tasks the lanes that are in use may get. A STOP task in hand closes its lane. */
  private rooms(query: ClaimQuery): ReadonlyMap<string, number> {
    const sql = `SELECT lane, count(*) AS n, max(stop) AS stop FROM tasks INDEXED BY tasks_in_hand
      WHERE owner = ? AND phase = 1 GROUP BY lane`;
    const rows = this.table.db.all<{ lane: string; n: number; stop: number }>(sql, query.agent);
    return new Map(rows.map(({ lane, n, stop }) => [lane, stop === 1 ? 0 : roomOf(query, lane) - n]));
  }

  private capabilityKeys(): readonly string[] {
    return this.table.db.all<{ key: string }>(POOL_KEYS).map((row) => row.key);
  }

  /** The first tasks of each lane that has room. */
  private ofKey(key: string, roomIn: (lane: string) => number): readonly PoolRow[] {
    const lanes = this.table.db.all<{ lane: string }>(POOL_LANES, key, key);
    return lanes.flatMap(({ lane }) =>
      this.table.db.all<PoolRow>(POOL_HEADS, key, lane, Math.max(0, roomIn(lane))),
    );
  }
}

const POOLED = "phase = 0 AND owner = '' AND unmet = 0";

const POOL_KEYS = `
  WITH RECURSIVE keys (key) AS (
    SELECT * FROM (SELECT capabilities FROM tasks INDEXED BY tasks_pool WHERE ${POOLED} ORDER BY capabilities LIMIT 1)
    UNION ALL
    SELECT (SELECT capabilities FROM tasks INDEXED BY tasks_pool WHERE ${POOLED} AND capabilities > keys.key
            ORDER BY capabilities LIMIT 1)
    FROM keys WHERE keys.key IS NOT NULL
  )
  SELECT key FROM keys WHERE key IS NOT NULL`;

const POOL_LANES = `
  WITH RECURSIVE lanes (lane) AS (
    SELECT * FROM (SELECT lane FROM tasks INDEXED BY tasks_pool WHERE ${POOLED} AND capabilities = ? ORDER BY lane LIMIT 1)
    UNION ALL
    SELECT (SELECT lane FROM tasks INDEXED BY tasks_pool WHERE ${POOLED} AND capabilities = ? AND lane > lanes.lane
            ORDER BY lane LIMIT 1)
    FROM lanes WHERE lanes.lane IS NOT NULL
  )
  SELECT lane FROM lanes WHERE lane IS NOT NULL`;

const POOL_HEADS = `SELECT sequence, id, lane, priority, stop FROM tasks INDEXED BY tasks_pool
  WHERE ${POOLED} AND capabilities = ? AND lane = ? ORDER BY priority DESC, sequence LIMIT ?`;

function roomOf({ laneWidth }: ClaimQuery, lane: string): number {
  return lane === DEFAULT_LANE ? laneWidth : 1;
}

function isSubset(key: string, capabilities: readonly string[]): boolean {
  return (JSON.parse(key) as string[]).every((capability) => capabilities.includes(capability));
}

/** Takes from the front what still has room in its lane. Nothing goes into a lane behind a STOP task. */
function pick(found: readonly PoolRow[], free: number, roomIn: (lane: string) => number): readonly string[] {
  const rooms = new Map<string, number>();
  const chosen: string[] = [];
  for (const { id, lane, stop } of found) {
    if (chosen.length >= free) break;
    const room = rooms.get(lane) ?? roomIn(lane);
    if (room <= 0) continue;
    rooms.set(lane, stop === 1 ? 0 : room - 1);
    chosen.push(id);
  }
  return chosen;
}
