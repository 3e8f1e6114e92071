import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { emptyOutcome } from '../../../../src/model/task.js';
import { Database } from '../../../../src/store/sqlite/database.js';
import { EventLog } from '../../../../src/store/sqlite/event-log.js';
import { migrate } from '../../../../src/store/sqlite/schema.js';
import { TaskCache } from '../../../../src/store/sqlite/task-cache.js';
import { TaskClaim } from '../../../../src/store/sqlite/task-claim.js';
import { TaskCounters } from '../../../../src/store/sqlite/task-counters.js';
import { TaskHistory } from '../../../../src/store/sqlite/task-history.js';
import { TaskIntake } from '../../../../src/store/sqlite/task-intake.js';
import { TaskSettle } from '../../../../src/store/sqlite/task-settle.js';
import { TaskTable } from '../../../../src/store/sqlite/task-table.js';
import { newTask, WIDE } from '../../../support/store-data.js';

const CLAIM = {
  agent: 'a1',
  sessionGeneration: 1,
  capabilities: [],
  window: 1,
  laneWidth: 2,
  slots: 9,
  nowMs: 2,
};

describe('statements on tasks', () => {
  let dir: string;
  let db: Database;
  let table: TaskTable;
  const used = new Set<string>();

  beforeEach(async () => {
    used.clear();
    dir = await mkdtemp(join(tmpdir(), 'query-plans-'));
    db = await Database.open(join(dir, 'hub.db'));
    migrate(db);
    db.run("INSERT INTO agents VALUES ('a1', '{}', 1, '', 0, 0, 0, 0)");
    for (const name of ['all', 'get', 'run'] as const) record(db, name);
    table = new TaskTable(db, new TaskCounters(), new EventLog(db), new TaskCache());
  });

  afterEach(async () => {
    db.close();
    await rm(dir, { recursive: true });
  });

  /** Remembers the text of every statement that passes through a method. */
  const record = (target: Database, name: 'all' | 'get' | 'run') => {
    const original = target[name].bind(target) as (sql: string, ...values: never[]) => never;
    target[name] = (sql: string, ...values: never[]) => {
      if (!sql.startsWith('EXPLAIN')) used.add(sql);
      return original(sql, ...values);
    };
  };
  const plans = () =>
    [...used].flatMap((sql) =>
      db.all<{ detail: string }>(`EXPLAIN QUERY PLAN ${sql}`).map(({ detail }) => ({ sql, detail })),
    );
  const bad = (pattern: RegExp) => plans().filter(({ detail }) => pattern.test(detail));

  const live = () => {
    const intake = new TaskIntake(table);
    const claims = new TaskClaim(table);
    const settle = new TaskSettle(table);
    for (const lane of ['x', 'y'])
      intake.create(newTask(lane, { agent: 'a1', lane, onFailure: 'STOP' }), WIDE);
    intake.create(newTask('later', { agent: 'a1', lane: 'x', idempotencyKey: 'k' }), WIDE);
    intake.create(newTask('pooled', { requiredCapabilities: [] }), WIDE);
    intake.create(newTask('needs', { agent: 'a1', after: ['x', 'y'] }), WIDE);
    expect(claims.claim(CLAIM).map(({ id }) => id)).to.deep.equal(['x', 'y', 'pooled']);
    const outcome = emptyOutcome('EXITED');
    const ended = { type: 'ended', attempt: 1, endMs: 3, outcome } as const;
    settle.apply('y', { ...ended, state: 'SUCCEEDED' }, { nowMs: 3 });
    settle.apply('x', { ...ended, state: 'FAILED' }, { nowMs: 3 });
    expect(table.inHand('a1')).to.have.length(1);
  };

  it('never look at all tasks and never sort them', () => {
    live();
    expect(used.size).to.be.greaterThan(20);
    expect(bad(/SCAN (tasks|attempts|task_dependencies|agents)$/)).to.deep.equal([]);
    const sorted = bad(/TEMP B-TREE/).filter(({ sql }) => !/GROUP BY lane|task_dependencies/.test(sql));
    expect(sorted).to.deep.equal([]);
  });

  it('find unfinished tasks through indexes without history', () => {
    live();
    const claims = plans().filter(
      ({ sql }) => /phase/.test(sql) && /SELECT/.test(sql) && !/task_dependencies/.test(sql),
    );
    const onTasks = claims.filter(({ detail }) => /SEARCH tasks/.test(detail));
    expect(onTasks).to.have.length.greaterThan(8);
    for (const { detail } of onTasks) expect(detail).to.match(/tasks_(lanes|in_hand|pool|expiring|ended)/);
  });

  it('list and clean up through indexes', () => {
    const history = new TaskHistory(table);
    live();
    used.clear();
    for (const filter of [{}, { agent: 'a1' }, { deadLetters: true }]) history.step(filter, 10, undefined);
    history.expired(9, 9);
    history.purge(9, 9);
    expect(used.size).to.be.greaterThan(5);
    expect(bad(/SCAN tasks$/)).to.deep.equal([]);
    expect(bad(/TEMP B-TREE/)).to.deep.equal([]);
  });
});
