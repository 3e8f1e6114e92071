import { messageOf } from '../base/errno.js';
import type { AgentRecord } from '../model/agent.js';
import { HubError } from '../model/hub-error.js';
import type { Profile } from '../model/profile.js';
import { isRefusal } from '../model/refusals.js';
import type { Vm } from '../model/vm.js';
import type { AgentRequest } from './api.js';
import type { HubContext } from './context.js';
import type { Furnisher } from './furnisher.js';
import type { Machines } from './machines.js';
import type { Presence } from './presence.js';
import type { Profiles } from './profiles.js';
import { newAgentRecord } from './records.js';
import { hashSecret, newSecret } from './secrets.js';
import { isStopping } from './stopping.js';

/** What {@link AgentMaker} works with. */
export interface AgentMakerParts {
  readonly ctx: HubContext;
  readonly machines: Machines;
  readonly presence: Presence;
  readonly profiles: Profiles;
  readonly furnisher: Furnisher;
}

/** Makes an agent with a machine of its own: record, machine, first connection, profile. */
export class AgentMaker {
  private readonly ctx: HubContext;
  private readonly machines: Machines;
  private readonly presence: Presence;

  constructor(private readonly parts: AgentMakerParts) {
    ({ ctx: this.ctx, machines: this.machines, presence: this.presence } = parts);
  }

  /**
   * Resolves when the agent is connected and furnished. A machine that could not be made leaves an agent that is
   * FAILED with the stage and the reason, to be looked at and destroyed.
   *
   * @throws HubError AGENT_EXISTS, VM_FAILED, PROFILE_FAILED, INVALID_FIELD and what Machines.create throws.
   */
  async make(asked: AgentRequest, signal: AbortSignal): Promise<Vm> {
    const secret = newSecret();
    const profile = asked.profile === undefined ? undefined : await this.parts.profiles.find(asked.profile);
    const request = { ...profile?.resources, ...asked };
    const record = recordOf(request, profile, hashSecret(secret), this.ctx.clock.now());
    await this.ctx.store.agents.create(record);
    this.presence.known(record.id);
    await this.presence.event('agent.created', record.id, 'CREATING', '');
    const timeout = AbortSignal.timeout(request.timeoutMs);
    const either = AbortSignal.any([signal, timeout]);
    let booted = false;
    try {
      await this.boot(request, secret, either);
      booted = true;
      if (profile) await this.furnish(record, profile, either);
      return await this.ready(record.id);
    } catch (err) {
      // The next hub goes on with it.
      if (booted && profile && isStopping(signal)) throw signal.reason;
      const late = timeout.aborted && !isProfileError(err);
      throw await this.failed(record.id, late ? timeoutError(request.timeoutMs) : err);
    }
  }

  /**
   * Goes on with an agent whose machine runs and that an earlier hub did not see READY: what its profile says is
   * completed. Leaves it as it is when the signal aborts.
   */
  async resume(record: AgentRecord, signal: AbortSignal): Promise<void> {
    try {
      if (record.profile !== undefined) {
        const profile = await this.parts.profiles.find(record.profile).catch(asProfileError);
        await this.presence.untilOnline(record.id, record.vmGeneration, signal);
        await this.furnish(record, profile, signal);
      }
      await this.ready(record.id);
    } catch (err) {
      if (!signal.aborted) await this.failed(record.id, err);
    }
  }

  private async boot(request: AgentRequest, joinSecret: string, signal: AbortSignal): Promise<void> {
    const { name, provider, image, cpu, memory, disk, network, profile, life, allowHostSudo } = request;
    const asked = { provider, image, cpu, memory, disk, network, profile, life };
    await this.machines.create({ name, ...asked, allowHostSudo, joinSecret }, signal);
    await this.machines.untilOnline(name, signal);
  }

  /** However it fails, the machine itself was made: it is never a refusal. */
  private async furnish(record: AgentRecord, profile: Profile, signal: AbortSignal): Promise<void> {
    try {
      await this.parts.furnisher.furnish(record, profile, signal);
    } catch (err) {
      if (!signal.aborted || isProfileError(err)) asProfileError(err);
      const stage = this.machines.get(record.id).stages.at(-1);
      const message = `profile ${profile.name}, ${stage?.name}, ${stage?.detail}: not done in the time given, or given up`;
      throw new HubError('PROFILE_FAILED', message, { metadata: { profile: profile.name }, cause: err });
    }
  }

  private async ready(name: string): Promise<Vm> {
    await this.ctx.store.agents.update(name, { phase: 'READY' });
    await this.presence.event('agent.online', name, 'ONLINE', 'CREATED');
    return this.machines.get(name);
  }

  private async failed(name: string, err: unknown): Promise<HubError> {
    if (isRefusal(err)) {
      await this.ctx.store.agents.remove(name);
      this.presence.forget(name);
      await this.presence.event('agent.destroyed', name, '', 'REFUSED');
      return HubError.from(err);
    }
    if (!(await this.ctx.store.agents.get(name))) return HubError.from(err);
    const reason = isProfileError(err) ? 'PROFILE_FAILED' : 'VM_FAILED';
    await this.ctx.store.agents.update(name, { phase: 'FAILED', reason });
    await this.presence.event('agent.offline', name, 'FAILED', reason, messageOf(err).slice(0, 1024));
    if (reason === 'PROFILE_FAILED') return profileError(name, HubError.from(err));
    const told = err instanceof HubError && err.metadata.console !== undefined;
    const tail = told ? '' : await this.machines.consoleTail(name).catch(() => '');
    const console = tail === '' ? '' : `\nlast console lines:\n${tail}`;
    const message = `agent ${name} was not made: ${messageOf(err)}${console}`;
    return new HubError('VM_FAILED', message, { metadata: { agent: name }, cause: err });
  }
}

function recordOf(
  request: AgentRequest,
  profile: Profile | undefined,
  secretHash: string,
  atMs: number,
): AgentRecord {
  const { name: id, type, capabilities, concurrency, cpu, memory, disk } = request;
  const metadata = {
    ...request.metadata,
    ...(cpu === undefined ? {} : { cpu }),
    ...(memory === undefined ? {} : { memory }),
    ...(disk === undefined ? {} : { disk }),
    ...(profile === undefined ? {} : { profile: profile.name }),
  };
  const furnished = profile === undefined ? {} : { env: profile.environment, profile: profile.name };
  const about = { id, type, capabilities, concurrency, metadata, secretHash, atMs };
  return newAgentRecord({ ...about, ...furnished, hasVm: true });
}

function isProfileError(err: unknown): boolean {
  return err instanceof HubError && err.reason === 'PROFILE_FAILED';
}

function asProfileError(err: unknown): never {
  if (isProfileError(err)) throw err;
  throw new HubError('PROFILE_FAILED', `the profile was not applied: ${messageOf(err)}`, { cause: err });
}

function profileError(agent: string, err: HubError): HubError {
  const hint = `look into it with "vm-agent exec ${agent} ..." or remove it with "vm-agent destroy ${agent} --force"`;
  const message = `agent ${agent} was not furnished: ${err.message}\nthe machine stays, to be looked at`;
  return new HubError('PROFILE_FAILED', message, {
    metadata: { ...err.metadata, agent, hint },
    cause: err,
  });
}

function timeoutError(timeoutMs: number): HubError {
  return new HubError('VM_FAILED', `it took longer than ${timeoutMs / 1000} s`);
}
