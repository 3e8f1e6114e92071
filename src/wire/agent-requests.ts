import type {
  CreateAgentRequest,
  ListAgentsRequest,
  RegisterAgentRequest,
} from '../../gen/vmagent/v1/hub_service.js';
import { type LifePolicy, ON_EXPIRE, type OnExpire, VM_NETWORKS, type VmNetwork } from '../model/vm.js';
import type { AgentStatus } from './agent.js';
import { decodePageToken, pageSize } from './pages.js';
import { type JsonObject, jsonFromStruct } from './struct.js';
import { msFromDuration } from './time.js';
import { Violations } from './violations.js';

const TYPE_CHARACTERS = 63;
const CAPABILITIES = { items: 64, characters: 63 };
const METADATA_BYTES = 16_384;
const SIZE_PATTERN = /^\d{1,12}(\.\d{1,3})?\s?([KMGT](i?B)?|B)?$/i;
const SIZE_RULE = 'a size such as 4G or 512MiB';
const DEFAULT_CREATE_MS = 600_000;
/** Packages may come over a slow line, into an emulated machine. */
const DEFAULT_FURNISH_MS = 1_800_000;
const MAX_CREATE_MS = 3_600_000;
const MAX_LIFE_MS = 365 * 86_400_000;

/**
 * Reads and checks the agent to be made.
 *
 * @throws HubError INVALID_FIELD naming every bad field.
 */
export function createAgentFromProto(proto: CreateAgentRequest) {
  const found = new Violations();
  const timeoutMs =
    msFromDuration(proto.timeout) ?? (proto.profile === '' ? DEFAULT_CREATE_MS : DEFAULT_FURNISH_MS);
  const metadata = readMetadata(proto.metadata, found);
  found.name('name', proto.name);
  found.text('type', proto.type, TYPE_CHARACTERS);
  found.list('capabilities', proto.capabilities, CAPABILITIES);
  checkResources(proto, found);
  found.text('provider', proto.provider, TYPE_CHARACTERS);
  found.text('image', proto.image, 255);
  found.number('concurrency', proto.concurrency, 0, 64);
  if (timeoutMs <= 0 || timeoutMs > MAX_CREATE_MS) found.add('timeout', 'more than 0 s, at most 3600 s');
  if (proto.network !== '') found.oneOf('network', proto.network, VM_NETWORKS);
  if (proto.profile !== '') found.name('profile', proto.profile);
  const life = readLife(proto, found);
  found.throwIfAny();
  return {
    name: proto.name,
    type: proto.type === '' ? 'generic' : proto.type,
    capabilities: [...new Set(proto.capabilities)],
    metadata,
    concurrency: proto.concurrency === 0 ? 1 : proto.concurrency,
    ...(proto.cpu === 0 ? {} : { cpu: proto.cpu }),
    ...given('memory', proto.memory),
    ...given('disk', proto.disk),
    ...given('provider', proto.provider),
    ...given('image', proto.image),
    ...(proto.network === '' ? {} : { network: proto.network as VmNetwork }),
    ...given('profile', proto.profile),
    ...(life === undefined ? {} : { life }),
    allowHostSudo: proto.allowHostSudo,
    timeoutMs,
  };
}

/**
 * Reads and checks an agent that is started by hand. In the answer's metadata `type` is a text and
 * `capabilities` a list, whichever way they were written.
 *
 * @throws HubError INVALID_FIELD naming every bad field.
 */
export function registerAgentFromProto(proto: RegisterAgentRequest) {
  const found = new Violations();
  found.name('agentId', proto.agentId);
  const metadata = readMetadata(proto.metadata, found);
  const { type = 'generic', capabilities = [] } = metadata;
  const list = typeof capabilities === 'string' ? splitList(capabilities) : texts(capabilities);
  if (typeof type !== 'string') found.add('metadata.type', 'a text');
  else found.text('metadata.type', type, TYPE_CHARACTERS);
  if (list === undefined) found.add('metadata.capabilities', 'an array of texts, or a comma list');
  else found.list('metadata.capabilities', list, CAPABILITIES);
  found.throwIfAny();
  const names = [...new Set(list)];
  return {
    id: proto.agentId,
    metadata: { ...metadata, type: type === '' ? 'generic' : type, capabilities: names },
  };
}

/**
 * Reads and checks which agents to list.
 *
 * @throws HubError INVALID_FIELD naming every bad field.
 */
export function agentFilterFromProto(proto: ListAgentsRequest) {
  const found = new Violations();
  const { status, type, capability } = proto;
  if (status !== '') found.oneOf('status', status, ['online', 'offline']);
  found.text('type', type, TYPE_CHARACTERS);
  found.text('capability', capability, TYPE_CHARACTERS);
  found.throwIfAny();
  const after = decodePageToken(proto.pageToken);
  return {
    ...(status === '' ? {} : { status: status as AgentStatus }),
    ...given('type', type),
    ...given('capability', capability),
    ...(after === undefined ? {} : { after }),
    limit: pageSize(proto.pageSize, 1000, 5000),
  };
}

/** When the machine is to be ended by itself; undefined for never. */
function readLife(proto: CreateAgentRequest, found: Violations): LifePolicy | undefined {
  const ttlMs = readSpan('ttl', proto.ttl, found);
  const idleStopMs = readSpan('idleStop', proto.idleStop, found);
  const { onExpire } = proto;
  if (onExpire !== '') found.oneOf('onExpire', onExpire, ON_EXPIRE);
  if (onExpire !== '' && ttlMs === undefined)
    found.add('onExpire', 'says what happens after ttl: give ttl too');
  if (ttlMs === undefined && idleStopMs === undefined) return undefined;
  return {
    ...(ttlMs === undefined ? {} : { ttlMs }),
    ...(idleStopMs === undefined ? {} : { idleStopMs }),
    onExpire: onExpire === '' ? 'stop' : (onExpire as OnExpire),
  };
}

function readSpan(field: string, span: CreateAgentRequest['ttl'], found: Violations): number | undefined {
  const ms = msFromDuration(span);
  if (ms !== undefined && (ms <= 0 || ms > MAX_LIFE_MS)) {
    found.add(field, 'a time of more than 0 s and at most 365 days, such as "7200s"');
  }
  return ms;
}

/**
 * Reads and checks how long a machine is to be kept; undefined for the usual time.
 *
 * @throws HubError INVALID_FIELD.
 */
export function keepFromProto(duration: CreateAgentRequest['ttl']): number | undefined {
  const found = new Violations();
  const ms = readSpan('duration', duration, found);
  found.throwIfAny();
  return ms;
}

/**
 * Reads and checks the resources that a machine is to get.
 *
 * @throws HubError INVALID_FIELD naming every bad field.
 */
export function resourcesFromProto(proto: {
  readonly cpu: number;
  readonly memory: string;
  readonly disk: string;
}) {
  const found = new Violations();
  checkResources(proto, found);
  found.throwIfAny();
  const { cpu, memory, disk } = proto;
  return { ...(cpu === 0 ? {} : { cpu }), ...given('memory', memory), ...given('disk', disk) };
}

function checkResources(proto: Parameters<typeof resourcesFromProto>[0], found: Violations): void {
  found.number('cpu', proto.cpu, 0, 256);
  for (const field of ['memory', 'disk'] as const)
    if (proto[field] !== '' && !SIZE_PATTERN.test(proto[field])) found.add(field, SIZE_RULE);
}

function readMetadata(struct: CreateAgentRequest['metadata'], found: Violations): JsonObject {
  return jsonFromStruct('metadata', struct, { maxBytes: METADATA_BYTES, found });
}

function splitList(text: string): string[] {
  return text
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '');
}

function texts(value: unknown): string[] | undefined {
  return Array.isArray(value) && value.every((item) => typeof item === 'string') ? value : undefined;
}

function given<K extends string>(key: K, value: string): { readonly [P in K]?: string } {
  return value === '' ? {} : ({ [key]: value } as { readonly [P in K]?: string });
}
