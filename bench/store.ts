import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { silentLogger } from '../src/base/logger.js';
import type { AgentRecord } from '../src/model/agent.js';
import { emptyOutcome, type NewTask } from '../src/model/task.js';
import { SegmentOutputLog } from '../src/store/output/segment-output-log.js';
import { openConnection } from '../src/store/sqlite/sqlite-binding.js';
import { SqliteStore } from '../src/store/sqlite/sqlite-store.js';

const AGENTS = 16;
const IN_FLIGHT = 16;
const CYCLES = 20_000;
const ROUNDS = 3;
const CHUNK_BYTES = 64 * 1024;
const CHUNKS_IN_FLIGHT = 64;
const OUTPUT_BYTES = 512 * 1024 * 1024;

/** Measures something in an empty directory. */
type Measure = (dir: string) => Promise<number>;

const LIMITS = { queuedPerAgent: 10_000, lanesPerAgent: 64 };

async function inDirectory<T>(work: (dir: string) => Promise<T>): Promise<T> {
  const dir = await mkdtemp(join(tmpdir(), 'bench-store-'));
  try {
    return await work(dir);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

function agentRecord(id: string): AgentRecord {
  return {
    id,
    type: 'vm',
    capabilities: [],
    metadata: {},
    concurrency: 1,
    hasVm: false,
    phase: 'READY',
    reason: '',
    secretHash: '',
    registeredMs: Date.now(),
    counters: { tasksReceived: 0, tasksCompleted: 0, tasksFailed: 0 },
    sessionGeneration: 0,
    vmGeneration: 0,
    journalId: '',
    ackedSequence: 0,
    version: '',
  };
}

function newTask(id: string, agent: string): NewTask {
  const run = { command: `echo ${'x'.repeat(200)}` };
  return {
    id,
    agent,
    spec: { type: 'exec', run, env: {}, secrets: {}, timeoutMs: 1_800_000, sudo: false },
    lane: 'default',
    onFailure: 'CONTINUE',
    after: [],
    requiredCapabilities: [],
    priority: 0,
    labels: {},
    maxAttempts: 1,
    creator: 'bench',
    digest: 'd'.repeat(64),
    createMs: Date.now(),
  };
}

/** Create, claim, started, ended for every task, each durable before the next step of the same task. */
async function storeCycles(dir: string): Promise<number> {
  await using store = new SqliteStore({ path: join(dir, 'hub.db'), log: silentLogger });
  await store.open();
  const hello = {
    journalId: 'j',
    journalSequence: 0,
    vmGeneration: 0,
    version: '1',
    capabilities: [],
    atMs: 0,
  };
  for (let i = 0; i < AGENTS; i++) {
    await store.agents.create(agentRecord(`agent-${i}`));
    await store.agents.openSession(`agent-${i}`, hello);
  }
  let left = CYCLES;
  const drive = async (agent: string) => {
    let sequence = 0;
    let number = 0;
    while (left > 0) {
      const n = Math.min(IN_FLIGHT, left);
      left -= n;
      const creates = Array.from({ length: n }, () =>
        store.tasks.create(newTask(`${agent}-${number++}`, agent), LIMITS),
      );
      await Promise.all(creates);
      const query = {
        agent,
        sessionGeneration: 1,
        capabilities: [],
        window: IN_FLIGHT,
        laneWidth: 1,
        slots: 1000,
      };
      const tasks = await store.tasks.claim({ ...query, nowMs: Date.now() });
      const steps = (event: (attempt: number) => Parameters<typeof store.tasks.apply>[1]) =>
        Promise.all(
          tasks.map(({ id, attempt }) => {
            const ack = { agent, journalId: 'j', sequence: ++sequence };
            return store.tasks.apply(id, event(attempt), { nowMs: Date.now(), ack });
          }),
        );
      await steps((attempt) => ({ type: 'started', attempt, startMs: Date.now() }));
      const outcome = { ...emptyOutcome('EXITED'), exitCode: 0 };
      await steps((attempt) => ({ type: 'ended', attempt, state: 'SUCCEEDED', endMs: Date.now(), outcome }));
    }
  };
  const begin = performance.now();
  await Promise.all(Array.from({ length: AGENTS }, (_, i) => drive(`agent-${i}`)));
  return (CYCLES * 1000) / (performance.now() - begin);
}

/** The same number of commits of the same size on a bare table: one insert and one update for each task. */
async function bareCycles(dir: string): Promise<number> {
  const db = await openConnection(join(dir, 'floor.db'));
  db.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL');
  db.exec('CREATE TABLE t (n INTEGER PRIMARY KEY, id TEXT UNIQUE, spec TEXT, state TEXT)');
  const insert = db.prepare("INSERT INTO t (id, spec, state) VALUES (?, ?, 'QUEUED')");
  const update = db.prepare('UPDATE t SET state = ? WHERE n = ?');
  const spec = JSON.stringify(newTask('x', 'agent'));
  const batch = AGENTS * IN_FLIGHT;
  const begin = performance.now();
  for (let done = 0; done < CYCLES; done += batch) {
    const each = (work: (n: number) => void) => {
      db.exec('BEGIN IMMEDIATE');
      for (let n = done; n < done + batch; n++) work(n);
      db.exec('COMMIT');
    };
    each((n) => insert.run(`task-${n}`, spec));
    each((n) => update.run('SUCCEEDED', n + 1));
  }
  const cycles = (CYCLES * 1000) / (performance.now() - begin);
  db.close();
  return cycles;
}

/** MB/s of chunks, appended as fast as the log takes them, each durable. */
async function outputLog(dir: string): Promise<number> {
  await using store = new SqliteStore({ path: join(dir, 'hub.db'), log: silentLogger });
  await store.open();
  await using log = new SegmentOutputLog({
    dir: join(dir, 'output'),
    index: store.outputIndex,
    log: silentLogger,
  });
  await log.open();
  const data = Buffer.alloc(CHUNK_BYTES, 'some text\n');
  const begin = performance.now();
  const pending = new Set<Promise<unknown>>();
  for (let offset = 0; offset < OUTPUT_BYTES; offset += data.length) {
    const chunk = { task: 't', attempt: 1, stream: 'STDOUT', agent: 'a', offset, timeMs: 0, data } as const;
    const stored = log.append(chunk).finally(() => pending.delete(stored));
    pending.add(stored);
    if (pending.size >= CHUNKS_IN_FLIGHT) await Promise.race(pending);
  }
  await Promise.all(pending);
  return OUTPUT_BYTES / 1000 / (performance.now() - begin);
}

/** MB/s of a bare file, synced as often as the log's batches. */
async function bareFile(dir: string): Promise<number> {
  await using file = await open(join(dir, 'floor'), 'w');
  const data = Buffer.alloc((CHUNK_BYTES * CHUNKS_IN_FLIGHT) / 2, 'some text\n');
  const begin = performance.now();
  for (let at = 0; at < OUTPUT_BYTES; at += data.length) {
    await file.write(data, 0, data.length, at);
    await file.datasync();
  }
  return OUTPUT_BYTES / 1000 / (performance.now() - begin);
}

const median = (values: readonly number[]) =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;

/** Runs both in turn and prints the medians beside each other. */
async function compare(name: string, unit: string, ours: Measure, floor: Measure): Promise<void> {
  const rounds: { ours: number; floor: number }[] = [];
  for (let i = 0; i < ROUNDS; i++) {
    rounds.push({ floor: await inDirectory(floor), ours: await inDirectory(ours) });
  }
  const [a, b] = [median(rounds.map((round) => round.ours)), median(rounds.map((round) => round.floor))];
  console.log(
    `${name}: ${Math.round(a)} ${unit}, floor ${Math.round(b)} ${unit}, ratio ${(a / b).toFixed(2)}`,
  );
}

await compare('task cycles (create, claim, started, ended)', 'cycles/s', storeCycles, bareCycles);
const before = process.memoryUsage().rss;
await compare('output log, 64 KiB chunks', 'MB/s', outputLog, bareFile);
console.log(
  `memory after the output: ${Math.round((process.memoryUsage().rss - before) / 1e6)} MB more than before it`,
);
