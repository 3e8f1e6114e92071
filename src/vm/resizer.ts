import { HubError } from '../model/hub-error.js';
import type { Vm, VmResources } from '../model/vm.js';
import type { MachineContext } from './machine-context.js';
import type { ResizeResult, VmProvider } from './provider.js';
import { checkLimits, formatSize, parseResources, type ResourceRequest } from './resources.js';

/**
 * Gives a machine other resources; what is not asked for stays. A provider that enforces nothing only has the new
 * numbers recorded.
 *
 * @throws HubError INVALID_FIELD, RESOURCES_EXCEEDED, NOT_SUPPORTED.
 */
export async function resizeMachine(
  ctx: MachineContext,
  name: string,
  request: ResourceRequest,
  signal: AbortSignal,
): Promise<{ readonly vm: Vm; readonly result: ResizeResult }> {
  const vm = ctx.book.get(name);
  const provider = ctx.registry.get(vm.provider);
  const resources = wanted(vm, request);
  checkLimits(growth(vm, resources), await provider.limits(), provider.capabilities.enforces);
  const result = await apply(provider, name, resources, signal);
  await ctx.book.change(name, (it) => ({ ...it, resources }));
  return { vm: ctx.book.get(name), result };
}

function wanted({ resources }: Vm, request: ResourceRequest): VmResources {
  const { cpu, memory, disk } = request;
  if (!cpu && !memory && !disk) {
    throw HubError.invalid({ field: 'cpu', description: 'give at least one of cpu, memory and disk' });
  }
  const asked = parseResources(request);
  const next = {
    cpu: cpu ? asked.cpu : resources.cpu,
    memoryBytes: memory ? asked.memoryBytes : resources.memoryBytes,
    diskBytes: disk ? asked.diskBytes : resources.diskBytes,
  };
  if (next.diskBytes >= resources.diskBytes) return next;
  const description = `a disk only grows: at least the ${formatSize(resources.diskBytes)} that it has`;
  throw HubError.invalid({ field: 'disk', description });
}

/** Of the disk only what is added has to fit on the host. */
function growth({ resources }: Vm, next: VmResources): VmResources {
  return { ...next, diskBytes: next.diskBytes - resources.diskBytes };
}

async function apply(
  provider: VmProvider,
  name: string,
  resources: VmResources,
  signal: AbortSignal,
): Promise<ResizeResult> {
  if (provider.resize) return provider.resize(name, resources, signal);
  if (provider.capabilities.enforces.length === 0) return 'applied';
  const message = `machines of the ${provider.name} provider cannot be resized; make a new one`;
  throw new HubError('NOT_SUPPORTED', message, { metadata: { provider: provider.name } });
}
