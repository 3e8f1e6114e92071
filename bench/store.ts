import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { silentLogger } from '../src/base/logger.js';
import type { AgentRecord } from '../src/model/agent.js';
import { emptyOutcome, type NewTask } from '../src/model/task.js';
import { SqliteStore } from '../src/store/sqlite/sqlite-store.js';

const AGENTS = 16;
const IN_FLIGHT = 16;
const CYCLES = 20_000;
const ROUNDS = 3;
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
  const hello = { journalId: 'j', vmGeneration: 0, version: '1', capabilities: [], atMs: 0 };
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

for (let i = 0; i < ROUNDS; i++) console.log(Math.round(await inDirectory(storeCycles)), 'cycles/s');
