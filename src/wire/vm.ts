import {
  type Image as ProtoImage,
  type VmIsolation as ProtoIsolation,
  type Provider as ProtoProvider,
  type Snapshot as ProtoSnapshot,
  type Vm as ProtoVm,
  Vm_State,
} from '../../gen/vmagent/v1/vm.js';
import type { Image, ProviderInfo, Snapshot, Vm, VmIsolation } from '../model/vm.js';
import { optionalTimestamp, timestampFromMs } from './time.js';

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

/** A machine, as a message. */
export function vmToProto(vm: Vm): ProtoVm {
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
  };
}

/** A saved state of a machine, as a message. */
export function snapshotToProto(snapshot: Snapshot): ProtoSnapshot {
  const { name, agent, sizeBytes, live, description } = snapshot;
  return { name, agent, createTime: timestampFromMs(snapshot.createMs), sizeBytes, live, description };
}

/** What a provider says of itself, as a message. */
export function providerToProto(provider: ProviderInfo): ProtoProvider {
  return {
    ...provider,
    capabilities: [...provider.capabilities],
    isolation: isolationToProto(provider.isolation),
  };
}

/** A disk image, as a message. */
export function imageToProto(image: Image): ProtoImage {
  return { ...image };
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
