import type { AgentHealth } from './agent.js';
import type { OutputChunk, OutputGap, OutputProgress } from './output.js';
import type { TaskOutcome, TaskSpec, TaskState } from './task.js';

/** Frames of Agent.Connect from the agent; see proto/vmagent/v1/agent_service.proto for every field. */
export type AgentFrame =
  | { readonly type: 'hello'; readonly hello: Hello }
  | { readonly type: 'report'; readonly report: AttemptReport }
  | { readonly type: 'health'; readonly health: AgentHealth }
  | { readonly type: 'goodbye'; readonly reason: string }
  | { readonly type: 'prepared'; readonly barrier: string }
  | { readonly type: 'shellRefused'; readonly shell: string; readonly message: string };

/** Who the agent is and what it has. */
export interface Hello {
  readonly agentId: string;
  readonly incarnation: string;
  readonly bootId: string;
  readonly vmGeneration: number;
  readonly journalId: string;
  readonly journalSequence: number;
  readonly version: string;
  readonly protocol: number;
  readonly capabilities: readonly string[];
  readonly attempts: readonly AttemptReport[];
  readonly killScope: string;
  /** Of the last session of this process. Absent or 0: it had none. */
  readonly lastSessionGeneration?: number;
}

/** State of one attempt as the agent's journal has it. Times are milliseconds since 1970. */
export interface AttemptReport {
  readonly task: string;
  readonly attempt: number;
  readonly state: TaskState;
  readonly sequence: number;
  readonly startMs?: number;
  readonly endMs?: number;
  readonly outcome?: TaskOutcome;
}

/** Frames of Agent.Connect to the agent. */
export type HubFrame =
  | { readonly type: 'welcome'; readonly welcome: Welcome }
  | { readonly type: 'assignment'; readonly assignment: Assignment }
  | { readonly type: 'ack'; readonly sequence: number }
  | { readonly type: 'cancel'; readonly task: string; readonly attempt: number; readonly force: boolean }
  | { readonly type: 'drain'; readonly reconnectAfterMs: number }
  | { readonly type: 'openShell'; readonly shell: string; readonly open: ShellOpen }
  | { readonly type: 'prepare'; readonly barrier: string }
  | { readonly type: 'resume'; readonly barrier: string }
  | { readonly type: 'forget'; readonly task: string; readonly attempt: number };

/** The session is open. */
export interface Welcome {
  readonly sessionGeneration: number;
  readonly hubEpoch: string;
  readonly ackedSequence: number;
  readonly healthIntervalMs: number;
  readonly reconnectSpreadMs: number;
  readonly outputWindowBytes: number;
  readonly concurrency: number;
  readonly outputs: readonly OutputProgress[];
}

/** An attempt to run, in the order of its lane. */
export interface Assignment {
  readonly task: string;
  readonly attempt: number;
  readonly lane: string;
  readonly spec: TaskSpec;
  readonly stopLaneOnFailure: boolean;
  /** Environment of every task of the agent; what comes out of a frame has it in `spec`. */
  readonly env?: Readonly<Record<string, string>>;
}

/** Frames of Agent.StreamOutput from the agent; the answers are lists of {@link OutputProgress}. */
export type OutputFrame =
  | { readonly type: 'open'; readonly sessionGeneration: number }
  | { readonly type: 'chunk'; readonly chunk: Omit<OutputChunk, 'agent'> }
  | { readonly type: 'gap'; readonly gap: Omit<OutputGap, 'agent'> };

/** Size of a terminal in characters. */
export interface ShellSize {
  readonly columns: number;
  readonly rows: number;
}

/** Which terminal to open; an empty `argv` means a login shell. */
export interface ShellOpen {
  readonly argv: readonly string[];
  readonly size: ShellSize;
  readonly term: string;
  /** Beside the agent's own environment. */
  readonly env?: Readonly<Record<string, string>>;
}

/** What goes to a terminal. */
export type ShellInput =
  | { readonly type: 'input'; readonly data: Uint8Array }
  | { readonly type: 'size'; readonly size: ShellSize };

/** What comes from a terminal; `exit` is the last. */
export type ShellOutput =
  | { readonly type: 'output'; readonly data: Uint8Array }
  | { readonly type: 'exit'; readonly exitCode: number };

/** Frames of Agent.AttachShell from the agent. */
export type AttachShellFrame =
  | { readonly type: 'open'; readonly sessionGeneration: number; readonly shell: string }
  | ShellOutput;
