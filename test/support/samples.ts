import type { AgentRecord } from '../../src/model/agent.js';
import type { NewTask, Task, TaskSpec } from '../../src/model/task.js';

/** A spec that runs a command line. */
export function execSpec(command = 'true', more: Partial<TaskSpec> = {}): TaskSpec {
  const spec = { type: 'exec', run: { command }, env: {}, secrets: {}, timeoutMs: 60_000, sudo: false };
  return { ...spec, ...more } as TaskSpec;
}

/** A task as it is accepted. */
export function sampleNewTask(more: Partial<NewTask> = {}): NewTask {
  const options = {
    lane: 'default',
    onFailure: 'CONTINUE',
    after: [],
    requiredCapabilities: [],
    priority: 0,
  } as const;
  const about = { labels: {}, maxAttempts: 1, creator: 'tester', digest: 'd', createMs: 1 };
  return { id: 't', agent: 'a', spec: execSpec(), ...options, ...about, ...more };
}

/** A task as the store has it. */
export function sampleTask(more: Partial<Task> = {}): Task {
  const state = {
    state: 'QUEUED',
    attempt: 0,
    failedRuns: 0,
    cancelRequested: false,
    pooled: false,
  } as const;
  return { ...sampleNewTask(), sequence: 1, ...state, ...more };
}

/** An agent as the store has it. */
export function sampleAgent(id: string, more: Partial<AgentRecord> = {}): AgentRecord {
  return {
    id,
    type: 'generic',
    capabilities: [],
    metadata: {},
    concurrency: 1,
    hasVm: false,
    phase: 'READY',
    reason: '',
    secretHash: '',
    registeredMs: 1,
    counters: { tasksReceived: 0, tasksCompleted: 0, tasksFailed: 0 },
    sessionGeneration: 0,
    vmGeneration: 1,
    journalId: '',
    ackedSequence: 0,
    version: '',
    ...more,
  };
}
