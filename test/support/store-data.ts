import type { AgentRecord } from '../../src/model/agent.js';
import type { NewTask } from '../../src/model/task.js';

/** Limits that no test meets by accident. */
export const WIDE = { queuedPerAgent: 100_000, lanesPerAgent: 1000 };

/** An agent as the hub makes it. */
export function newAgent(id: string, change: Partial<AgentRecord> = {}): AgentRecord {
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
    registeredMs: 1000,
    counters: { tasksReceived: 0, tasksCompleted: 0, tasksFailed: 0 },
    sessionGeneration: 0,
    vmGeneration: 0,
    journalId: '',
    ackedSequence: 0,
    version: '',
    ...change,
  };
}

/** A task for any agent; name one in `change` for one of its own. */
export function newTask(id: string, change: Partial<NewTask> = {}): NewTask {
  return {
    id,
    spec: { type: 'exec', run: { command: 'true' }, env: {}, secrets: {}, timeoutMs: 1000, sudo: false },
    lane: 'default',
    onFailure: 'CONTINUE',
    after: [],
    requiredCapabilities: [],
    priority: 0,
    labels: {},
    maxAttempts: 1,
    creator: 'test',
    digest: `digest of ${id}`,
    createMs: 1000,
    ...change,
  };
}
