import type { CreateTaskRequest } from '../../gen/vmagent/v1/hub_service.js';
import { DEFAULT_LANE, type NewTask, type OnFailure } from '../model/task.js';
import { readTaskSpec } from './task-spec.js';
import { msFromDuration } from './time.js';
import { Violations } from './violations.js';

/** Longest `wait` in milliseconds. */
export const MAX_WAIT_MS = 600_000;

const CAPABILITY_LIMITS = { items: 32, characters: 63 };
const LABEL_LIMITS = { entries: 64, keyCharacters: 63, valueCharacters: 255 };
const MAX_AFTER = 100;
const KEY_PATTERN = /^[\x20-\x7e]{1,255}$/;

/** A checked task request: what the task service takes, and how long to hold the answer. */
export interface CheckedTaskRequest {
  readonly request: Omit<NewTask, 'id' | 'digest' | 'createMs'> & { readonly id?: string };
  /** 0 for not at all. */
  readonly waitMs: number;
}

/** What of a task request is not in its message. */
export interface TaskRequestContext {
  /** Name of the caller. */
  readonly creator: string;
  /** Metadata `idempotency-key`; the field of the message goes first. */
  readonly idempotencyKey?: string;
}

/**
 * Reads and checks a task request.
 *
 * @throws HubError INVALID_FIELD naming every bad field and what is allowed.
 */
export function taskRequestFromProto(
  proto: CreateTaskRequest,
  context: TaskRequestContext,
): CheckedTaskRequest {
  const found = new Violations();
  const spec = readTaskSpec(proto, found);
  const key = proto.idempotencyKey === '' ? (context.idempotencyKey ?? '') : proto.idempotencyKey;
  if (key !== '' && !KEY_PATTERN.test(key))
    found.add('idempotencyKey', '1 to 255 printable ASCII characters');
  const ttlMs = msFromDuration(proto.ttl);
  const waitMs = msFromDuration(proto.wait) ?? 0;
  const onFailure = readOnFailure(proto.onFailure, found);
  checkPlace(proto, found);
  checkTimes(ttlMs, waitMs, found);
  found.throwIfAny();
  const request = {
    ...(proto.id === '' ? {} : { id: proto.id }),
    ...(proto.agent === '' ? {} : { agent: proto.agent }),
    spec,
    lane: proto.lane === '' ? DEFAULT_LANE : proto.lane,
    onFailure,
    after: [...new Set(proto.after)],
    requiredCapabilities: [...new Set(proto.requiredCapabilities)],
    priority: proto.priority,
    labels: proto.labels,
    maxAttempts: Math.max(1, proto.retry?.maxAttempts ?? 1),
    ...(ttlMs === undefined ? {} : { ttlMs }),
    creator: context.creator,
    ...(key === '' ? {} : { idempotencyKey: key }),
  };
  return { request, waitMs };
}

function readOnFailure(text: string, found: Violations): OnFailure {
  const value = text.toUpperCase();
  if (value === 'STOP') return 'STOP';
  if (value !== '' && value !== 'CONTINUE') found.add('onFailure', '"stop" or "continue"');
  return 'CONTINUE';
}

function checkPlace(proto: CreateTaskRequest, found: Violations): void {
  if (proto.agent !== '') found.name('agent', proto.agent);
  if (proto.id !== '') found.id('id', proto.id);
  if (proto.lane !== '') found.id('lane', proto.lane);
  if (proto.after.length > MAX_AFTER) found.add('after', `at most ${MAX_AFTER} items`);
  for (const id of proto.after) found.id('after', id);
  if (proto.id !== '' && proto.after.includes(proto.id)) found.add('after', 'must not name the task itself');
  found.number('retry.maxAttempts', proto.retry?.maxAttempts ?? 0, 0, 10);
  found.list('requiredCapabilities', proto.requiredCapabilities, CAPABILITY_LIMITS);
  found.number('priority', proto.priority, -100, 100);
  found.map('labels', proto.labels, LABEL_LIMITS);
}

function checkTimes(ttlMs: number | undefined, waitMs: number, found: Violations): void {
  if (ttlMs !== undefined && ttlMs <= 0) found.add('ttl', 'more than 0 s, or left out for ever');
  if (waitMs < 0 || waitMs > MAX_WAIT_MS) found.add('wait', `0 to ${MAX_WAIT_MS / 1000} s, such as "30s"`);
}
