import { messageOf } from '../base/errno.js';
import type { Vm } from '../model/vm.js';
import type { Creator } from './creator.js';
import type { Lifecycle } from './lifecycle.js';
import type { MachineContext } from './machine-context.js';
import type { ProviderState } from './provider.js';

/** What {@link recoverMachine} works with. */
export interface RecoveryParts {
  readonly ctx: MachineContext;
  readonly lifecycle: Lifecycle;
  readonly creator: Creator;
}

/**
 * Makes a record true again after the hub was away: running machines are adopted, half-done operations completed
 * or undone. Never starts a machine, and never reads `unknown` as stopped. Answers `boot` when a restore has only
 * its start left.
 */
export async function recoverMachine(
  parts: RecoveryParts,
  vm: Vm,
  signal: AbortSignal,
): Promise<'done' | 'boot'> {
  const { lifecycle, ctx } = parts;
  try {
    if (vm.state === 'DESTROYING') await parts.creator.destroy(vm.name, signal);
    else return await settle(parts, vm, await lifecycle.inspect(vm, signal), signal);
  } catch (err) {
    ctx.log.error('a machine was not recovered', { vmId: vm.name, error: err });
    const error = `the state after a restart of the hub is not known: ${messageOf(err)}`;
    await ctx.book.change(vm.name, (it) => ({ ...it, error }));
  }
  return 'done';
}

async function settle(
  parts: RecoveryParts,
  vm: Vm,
  found: ProviderState,
  signal: AbortSignal,
): Promise<'done' | 'boot'> {
  const { lifecycle } = parts;
  if (found === 'unknown') throw new Error(`the ${vm.provider} provider cannot say whether it runs`);
  switch (vm.state) {
    case 'CREATING':
      await settleCreating(parts, vm, found, signal);
      break;
    case 'RESTORING':
      return settleRestoring(parts, vm, signal);
    case 'STOPPING':
      await lifecycle.provider(vm).stop(vm.name, { force: true }, signal);
      await lifecycle.markStopped(vm.name, '');
      break;
    case 'STARTING':
    case 'RUNNING':
    case 'STOPPED':
      await settleSteady(lifecycle, vm, found);
      break;
    default:
      break;
  }
  return 'done';
}

async function settleSteady(lifecycle: Lifecycle, vm: Vm, found: ProviderState): Promise<void> {
  if (found === 'absent') await lifecycle.markFailed(vm.name, 'the machine is gone; destroy its agent');
  else if (found === 'running' && vm.state !== 'RUNNING') await lifecycle.markRunning(vm.name);
  else if (found === 'stopped' && vm.state !== 'STOPPED') {
    await lifecycle.markStopped(vm.name, 'it did not run when the hub came back; start it again');
  }
}

/** Without a running agent nobody can say how far it came, so nothing of it is kept. */
async function settleCreating(
  { lifecycle }: RecoveryParts,
  vm: Vm,
  found: ProviderState,
  signal: AbortSignal,
): Promise<void> {
  if (found === 'running') return lifecycle.markRunning(vm.name);
  await lifecycle.provider(vm).destroy(vm.name, signal);
  const next = `"vm-agent destroy ${vm.name}", then create it again`;
  await lifecycle.markFailed(vm.name, `create: the hub stopped before the machine was made; ${next}`);
}

/** The disk stage is over once the files are those of the snapshot. */
async function settleRestoring(
  { lifecycle }: RecoveryParts,
  vm: Vm,
  signal: AbortSignal,
): Promise<'done' | 'boot'> {
  const disk = vm.stages.find((stage) => stage.name === 'disk');
  if (disk?.durationMs !== undefined && disk.error === undefined) return 'boot';
  await lifecycle.provider(vm).stop(vm.name, { force: true }, signal);
  await lifecycle.markFailed(
    vm.name,
    'restore: the hub stopped before it was done; the files are those from before it. Restore again, or start',
  );
  return 'done';
}
