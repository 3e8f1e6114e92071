import type { AgentRecord, AgentView, Json } from '../model/agent.js';
import { HubError } from '../model/hub-error.js';
import { checkName } from '../model/names.js';
import { emptyOutcome } from '../model/task.js';
import type { TaskEvent } from '../model/task-events.js';
import type { AgentMaker } from './agent-maker.js';
import type { AgentFilter, AgentRequest, AgentsApi } from './api.js';
import type { HubContext } from './context.js';
import type { Fences } from './fences.js';
import type { Machines } from './machines.js';
import type { Presence } from './presence.js';
import type { ShellInput, ShellOpen } from './protocol.js';
import { newAgentRecord } from './records.js';
import { hashSecret, newSecret } from './secrets.js';
import type { Sessions } from './sessions.js';
import type { Shells } from './shells.js';
import type { TaskChanges } from './task-changes.js';

/** Tasks of a queue that one commit ends: some 30 ms. */
const DROP_BATCH = 250;

type DropEvent = Extract<TaskEvent, { type: 'drop' }>;

export interface AgentRegistryParts {
  readonly ctx: HubContext;
  readonly sessions: Sessions;
  readonly presence: Presence;
  readonly changes: TaskChanges;
  readonly fences: Fences;
  readonly shells: Shells;
  readonly maker: AgentMaker;
  readonly machines: Machines;
  /** An identity that was in quarantine is sound again. */
  readonly trust: (agent: string) => void;
  /** Address of the agent door, for agents that are started by hand. */
  readonly door: string;
}

/** Lists, makes, registers and removes agents. */
export class AgentRegistry implements AgentsApi {
  private readonly ctx: HubContext;

  constructor(private readonly parts: AgentRegistryParts) {
    this.ctx = parts.ctx;
  }

  async list(filter: AgentFilter): Promise<readonly AgentView[]> {
    const [records, load] = await Promise.all([this.ctx.store.agents.list(), this.ctx.store.tasks.load()]);
    const views = records.map((record) => this.parts.presence.view(record, load.get(record.id)));
    return views.filter((view) => matches(view, filter)).slice(0, filter.limit);
  }

  async get(id: string): Promise<AgentView> {
    const record = await this.record(id);
    const load = await this.ctx.store.tasks.load([id]);
    return this.parts.presence.view(record, load.get(id));
  }

  async hasVm(id: string): Promise<boolean> {
    return (await this.record(id)).hasVm;
  }

  async create(request: AgentRequest, signal: AbortSignal) {
    checkName('name', request.name);
    const vm = await this.parts.maker.make(request, signal);
    return { agent: await this.get(request.name), vm };
  }

  async register(id: string, metadata: { readonly [key: string]: Json }) {
    checkName('agentId', id);
    const token = newSecret();
    const fresh = newAgentRecord({ id, metadata, secretHash: hashSecret(token), atMs: this.ctx.clock.now() });
    const known = await this.ctx.store.agents.get(id);
    if (known) await this.reregister(known, fresh);
    else await this.ctx.store.agents.create(fresh);
    this.parts.trust(id);
    this.parts.presence.known(id);
    await this.parts.presence.event('agent.created', id, 'OFFLINE', 'REGISTERED');
    return { agent: await this.get(id), token, door: this.parts.door };
  }

  async remove(id: string, force: boolean, signal: AbortSignal): Promise<void> {
    const record = await this.record(id);
    if (!force) await this.refuseIfBusy(id);
    await this.ctx.store.agents.update(id, { phase: 'DESTROYING' });
    this.parts.sessions
      .get(id)
      ?.close('DESTROYED', new HubError('NOT_AUTHENTICATED', 'this agent was removed'));
    await this.loseTasks(id, 'VM_DESTROYED');
    if (record.hasVm) await this.parts.machines.destroy(id, signal);
    if (record.hasVm) await this.parts.fences.confirmAll(id);
    const outcome = emptyOutcome('AGENT_DESTROYED', `agent ${id} was removed`);
    const drop = { type: 'drop', atMs: this.ctx.clock.now(), outcome } as const;
    for (let dropped = await this.dropSome(id, drop); dropped > 0; ) dropped = await this.dropSome(id, drop);
    await this.ctx.store.agents.remove(id);
    this.parts.presence.forget(id);
    await this.parts.presence.event('agent.destroyed', id, '', '');
  }

  async shell(id: string, open: ShellOpen, input: AsyncIterable<ShellInput>, signal: AbortSignal) {
    await this.record(id);
    const session = this.parts.sessions.get(id);
    if (!session)
      throw new HubError('AGENT_OFFLINE', `agent ${id} is not connected`, { metadata: { agent: id } });
    return this.parts.shells.open(session, open, input, signal);
  }

  /** Ends what an agent has in hand as LOST. */
  async loseTasks(id: string, reason: string): Promise<void> {
    const outcome = emptyOutcome(reason, `the machine of agent ${id} is gone`);
    for (const { id: task, attempt } of await this.ctx.store.tasks.active(id)) {
      await this.parts.changes.apply(task, {
        type: 'lose',
        attempt,
        fenced: false,
        atMs: this.ctx.clock.now(),
        outcome,
      });
    }
  }

  private async dropSome(id: string, drop: DropEvent): Promise<number> {
    const dropped = await this.ctx.store.tasks.dropQueued(id, drop, DROP_BATCH);
    this.parts.changes.dropped(dropped);
    return dropped.length;
  }

  private async record(id: string): Promise<AgentRecord> {
    const record = await this.ctx.store.agents.get(id);
    if (record) return record;
    throw new HubError('AGENT_NOT_FOUND', `there is no agent ${id}`, { metadata: { agent: id } });
  }

  private async reregister(known: AgentRecord, fresh: AgentRecord): Promise<void> {
    if (known.hasVm || this.parts.sessions.get(known.id)) {
      const why = known.hasVm ? 'has a machine' : 'is online';
      const message = `agent ${known.id} is there already and ${why}`;
      throw new HubError('AGENT_EXISTS', message, { metadata: { agent: known.id } });
    }
    const { type, capabilities, metadata, secretHash, registeredMs } = fresh;
    await this.ctx.store.agents.update(known.id, { type, capabilities, metadata, secretHash, registeredMs });
  }

  private async refuseIfBusy(id: string): Promise<void> {
    const active = await this.ctx.store.tasks.active(id);
    if (active.length === 0) return;
    const ids = active.slice(0, 5).map((task) => task.id);
    const message = `agent ${id} has ${active.length} tasks in hand (${ids.join(', ')}); use force to end them`;
    throw new HubError('AGENT_BUSY', message, { metadata: { agent: id, tasks: String(active.length) } });
  }
}

function matches(view: AgentView, filter: AgentFilter): boolean {
  const status = view.state === 'ONLINE' ? 'online' : 'offline';
  if (filter.status !== undefined && filter.status !== status) return false;
  if (filter.type !== undefined && filter.type !== view.record.type) return false;
  if (filter.capability !== undefined && !view.record.capabilities.includes(filter.capability)) return false;
  return filter.after === undefined || view.record.id > filter.after;
}
