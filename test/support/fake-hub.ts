import type { HubApi } from '../../src/hub/api.js';
import type { AgentView } from '../../src/model/agent.js';
import { HubError } from '../../src/model/hub-error.js';
import type { Task } from '../../src/model/task.js';
import type { VmApi } from '../../src/vm/api.js';
import { sampleAgent, sampleTask } from './samples.js';

type Parts = { [K in keyof HubApi]?: Partial<HubApi[K]> };

/** Join secret that the fake hub takes from every agent. */
export const JOIN_SECRET = 'join-secret';

/** A hub made of the functions that a test needs; every other one fails loudly. */
export function fakeHub(parts: Parts = {}): HubApi {
  const door = { authenticate: async (_: string, secret: string) => checkJoinSecret(secret) };
  return {
    tasks: scripted('tasks', { queuedReason: () => 'AGENT_OFFLINE', ...parts.tasks }),
    agents: scripted('agents', { get: async (id: string) => fakeAgent(id), ...parts.agents }),
    logs: scripted('logs', { start: async () => '0', ...parts.logs }),
    events: scripted('events', { last: async () => 0, ...parts.events }),
    admin: scripted('admin', { health: async () => HEALTHY, ...parts.admin }),
    door: scripted('door', { ...door, ...parts.door }),
  };
}

/** A VM manager made of the functions that a test needs. */
export function fakeVms(parts: Partial<VmApi> = {}): VmApi {
  return scripted('vm', { list: () => [], ...parts });
}

/** An agent as callers see it. */
export function fakeAgent(id: string, more: Partial<AgentView> = {}): AgentView {
  const counts = { messagesReceived: 0, messagesSent: 0, currentTasks: [], queuedTasks: 0 };
  return { record: sampleAgent(id), state: 'ONLINE', stateReason: '', ...counts, ...more };
}

/** A task that the fake hub has accepted. */
export function fakeTask(more: Partial<Task> = {}): Task {
  return sampleTask({ id: 'task-1', agent: 'my-agent', ...more });
}

const HEALTHY = {
  healthy: true,
  uptimeSeconds: 1,
  timestampMs: 1000,
  agents: { total: 2, online: 1 },
  checks: [{ name: 'store', ok: true, message: '' }],
  version: '0.0.0-test',
};

function checkJoinSecret(secret: string): void {
  if (secret !== JOIN_SECRET) throw new HubError('NOT_AUTHENTICATED', 'wrong join secret');
}

function scripted<T extends object>(name: string, parts: Partial<T> = {}): T {
  return new Proxy(parts, {
    get(target, key) {
      const value: unknown = Reflect.get(target, key);
      if (value !== undefined) return value;
      throw new Error(`the test did not script ${name}.${String(key)}`);
    },
  }) as T;
}
