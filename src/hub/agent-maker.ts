import { messageOf } from '../base/errno.js';
import type { AgentRecord } from '../model/agent.js';
import { HubError } from '../model/hub-error.js';
import type { Vm } from '../model/vm.js';
import type { AgentRequest } from './api.js';
import type { HubContext } from './context.js';
import type { Machines } from './machines.js';
import type { Presence } from './presence.js';
import { newAgentRecord } from './records.js';
import { hashSecret, newSecret } from './secrets.js';

/** Makes an agent with a machine of its own: record, machine, first connection. */
export class AgentMaker {
  constructor(
    private readonly ctx: HubContext,
    private readonly machines: Machines,
    private readonly presence: Presence,
  ) {}

  /**
   * Resolves when the agent is connected. A machine that could not be made leaves an agent that is FAILED with
   * the stage and the reason, to be looked at and destroyed.
   *
   * @throws HubError AGENT_EXISTS, VM_FAILED and what Machines.create throws.
   */
  async make(request: AgentRequest, signal: AbortSignal): Promise<Vm> {
    const secret = newSecret();
    const record = recordOf(request, hashSecret(secret), this.ctx.clock.now());
    await this.ctx.store.agents.create(record);
    this.presence.known(record.id);
    await this.presence.event('agent.created', record.id, 'CREATING', '');
    const timeout = AbortSignal.timeout(request.timeoutMs);
    try {
      return await this.boot(request, secret, AbortSignal.any([signal, timeout]));
    } catch (err) {
      throw await this.failed(request, timeout.aborted ? timeoutError(request.timeoutMs) : err);
    }
  }

  private async boot(request: AgentRequest, joinSecret: string, signal: AbortSignal): Promise<Vm> {
    const { name, provider, image, cpu, memory, disk, allowHostSudo } = request;
    const machine = { name, provider, image, cpu, memory, disk, allowHostSudo, joinSecret };
    const vm = await this.machines.create(machine, signal);
    const began = this.ctx.clock.monotonic();
    await this.machines.stage(name, { name: 'agent', detail: 'waiting for the agent to connect' });
    await this.presence.untilOnline(name, vm.generation, signal);
    const durationMs = this.ctx.clock.monotonic() - began;
    await this.machines.stage(name, { name: 'agent', detail: 'the agent is connected', durationMs });
    await this.ctx.store.agents.update(name, { phase: 'READY' });
    await this.presence.event('agent.online', name, 'ONLINE', 'CREATED');
    return this.machines.get(name);
  }

  private async failed(request: AgentRequest, err: unknown): Promise<HubError> {
    const { name } = request;
    if (refusedBeforeStart(err)) {
      await this.ctx.store.agents.remove(name);
      this.presence.forget(name);
      await this.presence.event('agent.destroyed', name, '', 'REFUSED');
      return HubError.from(err);
    }
    if (!(await this.ctx.store.agents.get(name))) return HubError.from(err);
    await this.ctx.store.agents.update(name, { phase: 'FAILED', reason: 'VM_FAILED' });
    await this.presence.event('agent.offline', name, 'FAILED', 'VM_FAILED', messageOf(err).slice(0, 1024));
    const tail = await this.machines.consoleTail(name).catch(() => '');
    const console = tail === '' ? '' : `\nlast console lines:\n${tail}`;
    const message = `agent ${name} was not made: ${messageOf(err)}${console}`;
    return new HubError('VM_FAILED', message, { metadata: { agent: name }, cause: err });
  }
}

function recordOf(request: AgentRequest, secretHash: string, atMs: number): AgentRecord {
  const { name: id, type, capabilities, concurrency, cpu, memory, disk } = request;
  const metadata = {
    ...request.metadata,
    ...(cpu === undefined ? {} : { cpu }),
    ...(memory === undefined ? {} : { memory }),
    ...(disk === undefined ? {} : { disk }),
  };
  return newAgentRecord({ id, type, capabilities, concurrency, metadata, secretHash, atMs, hasVm: true });
}

function timeoutError(timeoutMs: number): HubError {
  return new HubError('VM_FAILED', `it took longer than ${timeoutMs / 1000} s`);
}

/** Whether a machine was refused with nothing made, so that nothing needs to stay. */
function refusedBeforeStart(err: unknown): boolean {
  const refusals = ['INVALID_FIELD', 'PROVIDER_NOT_FOUND', 'PROVIDER_UNAVAILABLE', 'RESOURCES_EXCEEDED'];
  return err instanceof HubError && refusals.includes(err.reason);
}
