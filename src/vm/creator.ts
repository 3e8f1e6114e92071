import { HubError } from '../model/hub-error.js';
import { checkName } from '../model/names.js';
import { isRefusal } from '../model/refusals.js';
import type { LifePolicy, Vm, VmNetwork } from '../model/vm.js';
import { newLife } from '../model/vm-life.js';
import { withDeadline } from './deadline.js';
import { asVmError, type Lifecycle } from './lifecycle.js';
import type { MachineContext } from './machine-context.js';
import type { VmProvider } from './provider.js';
import { checkLimits, parseResources, type ResourceRequest } from './resources.js';
import { StageRecorder } from './stage-recorder.js';

/** A machine that is wanted. */
export interface NewMachine extends ResourceRequest {
  readonly name: string;
  /** Absent for the best that works. */
  readonly provider?: string;
  readonly image?: string;
  /** Absent for the provider's default. */
  readonly network?: VmNetwork;
  readonly allowHostSudo: boolean;
  /** When it is to be ended by itself. Absent for never. */
  readonly life?: LifePolicy;
  /** Name of the profile that the hub will apply to it, for the record. */
  readonly profile?: string;
  readonly joinSecret: string;
}

/** Makes and destroys machines. */
export class Creator {
  constructor(
    private readonly ctx: MachineContext,
    private readonly lifecycle: Lifecycle,
  ) {}

  /** Makes and boots a machine. One that fails stays FAILED, stopped, with its console, until it is destroyed. */
  async create(request: NewMachine, signal: AbortSignal): Promise<Vm> {
    const name = checkName('name', request.name);
    const resources = parseResources(request);
    const provider = await this.ctx.registry.choose(request.provider, signal);
    const network = networkOf(request.network, provider);
    checkLife(request.life, provider);
    checkLimits(resources, await provider.limits(), provider.capabilities.enforces);
    await this.clearFailed(name, signal);
    const isolation = await provider.isolation();
    const vm = newVm(
      request,
      { resources, network, provider: provider.name, isolation },
      this.ctx.clock.now(),
    );
    await this.ctx.book.add(vm);
    try {
      await this.make(vm, provider, signal);
      await this.lifecycle.boot(name, request.joinSecret, signal);
      return this.ctx.book.get(name);
    } catch (err) {
      await this.giveUp(name, provider, asVmError(name, 'create', err));
      throw asVmError(name, 'create', err);
    }
  }

  /** Destroys a machine with its snapshots; does nothing when there is none. */
  async destroy(name: string, signal: AbortSignal): Promise<void> {
    const vm = this.ctx.book.find(name);
    if (vm === undefined) return;
    const provider = this.lifecycle.provider(vm);
    await this.ctx.book.change(name, (it) => ({ ...it, state: 'DESTROYING', error: '' }));
    await this.lifecycle.orFail(name, 'destroy', () => provider.destroy(name, signal));
    await this.ctx.book.remove(name);
  }

  private async make(vm: Vm, provider: VmProvider, signal: AbortSignal): Promise<void> {
    const { name, image, allowHostSudo, resources, network } = vm;
    const recorder = new StageRecorder(this.ctx.book, this.ctx.clock, name);
    const spec = { name, resources, network, allowHostSudo, ...(image ? { image } : {}) };
    try {
      await provider.create(spec, recorder.report, signal);
    } finally {
      await recorder.flush();
    }
  }

  private async clearFailed(name: string, signal: AbortSignal): Promise<void> {
    const old = this.ctx.book.find(name);
    if (old === undefined) return;
    if (old.state === 'FAILED') return this.destroy(name, signal);
    const message = `there is a machine ${name} already; destroy its agent first`;
    throw new HubError('AGENT_EXISTS', message, { metadata: { agent: name } });
  }

  /** What was refused leaves nothing. */
  private async giveUp(name: string, provider: VmProvider, err: HubError): Promise<void> {
    const { clock, deadlines, log, book } = this.ctx;
    const refused = isRefusal(err);
    const limit = { what: `clean-up of ${name}`, deadlineMs: deadlines.cleanup };
    try {
      await withDeadline(clock, limit, [], (signal) =>
        refused ? provider.destroy(name, signal) : provider.stop(name, { force: true }, signal),
      );
    } catch (cause) {
      log.warn('clean-up of a machine that was not made failed', { vmId: name, error: cause });
    }
    if (refused) await book.remove(name);
    else await this.lifecycle.markFailed(name, `create: ${err.message}`);
  }
}

function newVm(
  request: NewMachine,
  chosen: Pick<Vm, 'resources' | 'network' | 'provider' | 'isolation'>,
  createMs: number,
): Vm {
  const life = newLife(request.life, createMs);
  return {
    ...chosen,
    ...(life ? { life } : {}),
    ...(request.profile ? { profile: request.profile } : {}),
    name: request.name,
    state: 'CREATING',
    stages: [],
    error: '',
    generation: 1,
    image: request.image ?? '',
    address: '',
    allowHostSudo: request.allowHostSudo,
    createMs,
  };
}

/** The asked one, or the provider's default. @throws HubError INVALID_FIELD naming what the provider has. */
function networkOf(asked: VmNetwork | undefined, { name, capabilities }: VmProvider): VmNetwork {
  const network = asked ?? capabilities.networks[0] ?? 'host';
  if (capabilities.networks.includes(network)) return network;
  const description = `one of ${capabilities.networks.join(', ')} with the ${name} provider`;
  throw HubError.invalid({ field: 'network', description });
}

/** @throws HubError INVALID_FIELD. */
function checkLife(life: LifePolicy | undefined, { name, capabilities }: VmProvider): void {
  if (life?.onExpire !== 'snapshot' || capabilities.snapshot) return;
  const description = `stop or destroy: machines of the ${name} provider have no snapshots on this host`;
  throw HubError.invalid({ field: 'onExpire', description });
}
