/** States of an agent. */
export const AGENT_STATES = ['CREATING', 'ONLINE', 'OFFLINE', 'DESTROYING', 'FAILED'] as const;
export type AgentState = (typeof AGENT_STATES)[number];

/** JSON values, for metadata. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

/** Size and use of memory or disk in MiB. */
export interface Usage {
  readonly total: number;
  readonly used: number;
  readonly free: number;
  readonly usagePercent: number;
}

/** A health report. Uptimes in seconds, timestamp in milliseconds since 1970. */
export interface AgentHealth {
  readonly cpu?: number;
  readonly memory?: Usage;
  readonly disk?: Usage;
  readonly uptime?: number;
  readonly systemUptime: number;
  readonly loadAverage: readonly number[];
  readonly platform: string;
  readonly arch: string;
  readonly hostname: string;
  readonly runningTasks: number;
  readonly killScope: string;
  readonly timestamp: number;
}

/** Counters of an agent, durable. */
export interface AgentCounters {
  readonly tasksReceived: number;
  readonly tasksCompleted: number;
  readonly tasksFailed: number;
}

/** What the store keeps of an agent. */
export interface AgentRecord {
  readonly id: string;
  readonly type: string;
  /** Given at creation, and found by the agent itself. */
  readonly capabilities: readonly string[];
  readonly metadata: { readonly [key: string]: Json };
  /** Tasks of the default lane that run at once. */
  readonly concurrency: number;
  readonly hasVm: boolean;
  /** Environment of every task and shell, beside their own. Absent means none. */
  readonly env?: Readonly<Record<string, string>>;
  /** Profile that its machine is furnished with before it is READY. */
  readonly profile?: string;
  /** Durable part of the state: an agent that is neither is ONLINE or OFFLINE by its connection. */
  readonly phase: 'CREATING' | 'READY' | 'DESTROYING' | 'FAILED';
  /** Why it is FAILED, or why it went OFFLINE last. */
  readonly reason: string;
  /** SHA-256 of the join secret, hexadecimal; empty when it has none. */
  readonly secretHash: string;
  readonly registeredMs: number;
  readonly lastSeenMs?: number;
  readonly counters: AgentCounters;
  /** Generation of its last session; 0 before the first. Only grows. */
  readonly sessionGeneration: number;
  /** Generation of its machine. Only grows. */
  readonly vmGeneration: number;
  readonly journalId: string;
  /** Last journal record whose effect is stored. */
  readonly ackedSequence: number;
  readonly version: string;
}

/** A task that an agent has in hand. */
export interface CurrentTask {
  readonly id: string;
  readonly type: string;
  readonly startedMs?: number;
  readonly summary: string;
}

/** An agent as callers see it. */
export interface AgentView {
  readonly record: AgentRecord;
  readonly state: AgentState;
  /** UPPER_SNAKE; empty while ONLINE. */
  readonly stateReason: string;
  readonly connectMs?: number;
  readonly lastSeenMs?: number;
  readonly health?: AgentHealth;
  readonly messagesReceived: number;
  readonly messagesSent: number;
  readonly currentTasks: readonly CurrentTask[];
  readonly queuedTasks: number;
}
