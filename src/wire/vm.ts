import {
  type Image as ProtoImage,
  type VmIsolation as ProtoIsolation,
  type VmLife as ProtoLife,
  type Profile as ProtoProfile,
  type Provider as ProtoProvider,
  type Snapshot as ProtoSnapshot,
  type Vm as ProtoVm,
  Vm_State,
} from '../../gen/vmagent/v1/vm.js';
import type { ProfileInfo } from '../model/profile.js';
import type { Image, ProviderInfo, Snapshot, Vm, VmIsolation, VmUsage } from '../model/vm.js';
import { expireMs, idleStopMs } from '../model/vm-life.js';
import { durationFromMs, optionalTimestamp, timestampFromMs } from './time.js';

const UNITS = [
  ['G', 1024 ** 3],
  ['M', 1024 ** 2],
  ['K', 1024],
] as const;

/** A size as people write it: the largest binary unit that leaves a whole number, such as `4G`. */
export function sizeText(bytes: number): string {
  for (const [unit, size] of UNITS) if (bytes > 0 && bytes % size === 0) return `${bytes / size}${unit}`;
  return `${bytes}`;
}

/** A machine, and what it uses now where that is known, as a message. */
export function vmToProto(vm: Vm, usage?: VmUsage): ProtoVm {
  const { resources } = vm;
  return {
    name: vm.name,
    provider: vm.provider,
    state: Vm_State[vm.state],
    resources: {
      cpu: resources.cpu,
      memory: sizeText(resources.memoryBytes),
      disk: sizeText(resources.diskBytes),
    },
    isolation: isolationToProto(vm.isolation),
    stages: vm.stages.map((stage) => ({
      name: stage.name,
      detail: stage.detail,
      durationMs: stage.durationMs,
      error: stage.error ?? '',
    })),
    error: vm.error,
    generation: vm.generation,
    image: vm.image,
    address: vm.address,
    createTime: timestampFromMs(vm.createMs),
    startTime: optionalTimestamp(vm.startMs),
    network: vm.network,
    acceleration: vm.acceleration,
    usage: usage && { ...usage, memoryBytes: Math.round(usage.memoryBytes) },
    life: lifeToProto(vm),
    profile: vm.profile ?? '',
  };
}

/** A saved state of a machine, as a message. */
export function snapshotToProto(snapshot: Snapshot): ProtoSnapshot {
  const { name, agent, sizeBytes, live, description } = snapshot;
  const kind = live ? 'live' : 'disk';
  return { name, agent, createTime: timestampFromMs(snapshot.createMs), sizeBytes, live, description, kind };
}

/** What a provider says of itself, as a message. */
export function providerToProto(provider: ProviderInfo): ProtoProvider {
  return {
    ...provider,
    acceleration: provider.acceleration,
    networks: [...provider.networks],
    capabilities: [...provider.capabilities],
    isolation: isolationToProto(provider.isolation),
  };
}

/** A disk image, as a message. */
export function imageToProto(image: Image): ProtoImage {
  return { ...image };
}

/** What machines can be furnished with, as a message. The content of files is left out. */
export function profileToProto({ name, builtIn, found }: ProfileInfo): ProtoProfile {
  if ('problem' in found) return { ...NO_PROFILE, name, builtIn, problem: found.problem };
  const { description, resources, environment, packages, files, repositories, setupTasks } = found.profile;
  const { cpu = 0, memory = '', disk = '' } = resources;
  return {
    name,
    builtIn,
    problem: '',
    description,
    resources: { cpu, memory, disk },
    environment: Object.keys(environment),
    packages: [...packages],
    files: files.map(({ path }) => path),
    repositories: repositories.map(({ url }) => url),
    setupTasks: setupTasks.map((task) => task.description || task.command),
  };
}

const NO_PROFILE = {
  description: '',
  resources: undefined,
  environment: [],
  packages: [],
  files: [],
  repositories: [],
  setupTasks: [],
};

function lifeToProto({ life, state }: Vm): ProtoLife | undefined {
  if (life === undefined) return undefined;
  const { ttlMs, idleStopMs: limitMs, onExpire, keepUntilMs, seenMs, problem } = life;
  const keeps = keepUntilMs !== undefined && keepUntilMs > seenMs;
  return {
    ttl: durationFromMs(ttlMs),
    idleStop: durationFromMs(limitMs),
    onExpire,
    expireTime: optionalTimestamp(expireMs(life)),
    idleStopTime: state === 'RUNNING' ? optionalTimestamp(idleStopMs(life)) : undefined,
    keepUntilTime: keeps ? timestampFromMs(keepUntilMs) : undefined,
    problem,
  };
}

function isolationToProto(isolation: VmIsolation): ProtoIsolation {
  return {
    kind: isolation.kind,
    securityBoundary: isolation.securityBoundary,
    privatePaths: [...isolation.privatePaths],
    notEnforced: [...isolation.notEnforced],
    notes: [...isolation.notes],
  };
}
