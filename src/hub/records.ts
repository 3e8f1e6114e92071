import type { AgentRecord, Json } from '../model/agent.js';
import { HubError } from '../model/hub-error.js';

/** Most capabilities of an agent, and characters of one. */
const MAX_CAPABILITIES = 64;
const CAPABILITY_PATTERN = /^[\x21-\x7e]{1,63}$/;
const MAX_METADATA_BYTES = 16_384;

export interface NewAgent {
  readonly id: string;
  readonly metadata: { readonly [key: string]: Json };
  readonly secretHash: string;
  readonly atMs: number;
  readonly type?: string;
  readonly capabilities?: readonly string[];
  readonly concurrency?: number;
  readonly hasVm?: boolean;
  readonly env?: Readonly<Record<string, string>>;
  readonly profile?: string;
}

/**
 * The record of an agent that was just made. Type and capabilities come from the request or from its metadata,
 * where capabilities may be an array or a comma list.
 *
 * @throws HubError INVALID_FIELD.
 */
export function newAgentRecord(agent: NewAgent): AgentRecord {
  const { metadata } = agent;
  if (Buffer.byteLength(JSON.stringify(metadata)) > MAX_METADATA_BYTES) {
    throw HubError.invalid({ field: 'metadata', description: `at most ${MAX_METADATA_BYTES} bytes as JSON` });
  }
  return {
    id: agent.id,
    type: typeOf(agent.type ?? metadata.type),
    capabilities: capabilitiesOf(agent.capabilities ?? metadata.capabilities),
    metadata,
    concurrency: agent.concurrency || 1,
    hasVm: agent.hasVm ?? false,
    phase: agent.hasVm ? 'CREATING' : 'READY',
    reason: '',
    ...(agent.env === undefined ? {} : { env: agent.env }),
    ...(agent.profile === undefined ? {} : { profile: agent.profile }),
    secretHash: agent.secretHash,
    registeredMs: agent.atMs,
    counters: { tasksReceived: 0, tasksCompleted: 0, tasksFailed: 0 },
    sessionGeneration: 0,
    vmGeneration: 1,
    journalId: '',
    ackedSequence: 0,
    version: '',
  };
}

function typeOf(value: unknown): string {
  if (value === undefined || value === null || value === '') return 'generic';
  if (typeof value === 'string' && value.length <= 63) return value;
  throw HubError.invalid({ field: 'type', description: 'a text of at most 63 characters' });
}

function capabilitiesOf(value: unknown): string[] {
  const items = typeof value === 'string' ? value.split(',') : (value ?? []);
  const description = `at most ${MAX_CAPABILITIES} words of 1 to 63 printable characters`;
  const bad = HubError.invalid({ field: 'capabilities', description });
  if (!Array.isArray(items)) throw bad;
  const words = items
    .map((item) => (typeof item === 'string' ? item.trim() : '\n'))
    .filter((word) => word !== '');
  if (words.length > MAX_CAPABILITIES || !words.every((word) => CAPABILITY_PATTERN.test(word))) throw bad;
  return [...new Set(words)];
}
