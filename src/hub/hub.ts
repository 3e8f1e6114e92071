import { runDetached } from '../base/detached.js';
import type { LevelSwitch } from '../base/logger.js';
import type { AgentRecord } from '../model/agent.js';
import { HubError } from '../model/hub-error.js';
import type { Vm, VmStage } from '../model/vm.js';
import { Activity } from './activity.js';
import { AdminService } from './admin-service.js';
import { AgentDoor } from './agent-door.js';
import { AgentMaker } from './agent-maker.js';
import { AgentRegistry } from './agent-registry.js';
import type { HubApi } from './api.js';
import { Barriers } from './barriers.js';
import type { HubContext } from './context.js';
import { EventReader } from './event-reader.js';
import { Fences } from './fences.js';
import { Furnisher } from './furnisher.js';
import { Janitor } from './janitor.js';
import { LogReader } from './log-reader.js';
import type { Machines } from './machines.js';
import { Presence } from './presence.js';
import type { Profiles } from './profiles.js';
import { Scheduler } from './scheduler.js';
import { SessionOpener } from './session-opener.js';
import { SessionReconciler } from './session-reconciler.js';
import { Sessions } from './sessions.js';
import { Shells } from './shells.js';
import { TaskChanges } from './task-changes.js';
import { TaskService } from './task-service.js';
import { TaskWatchers } from './task-watchers.js';

export interface HubOptions {
  readonly ctx: HubContext;
  readonly machines: Machines;
  readonly levels: LevelSwitch;
  readonly version: string;
  /** Address of the agent door. */
  readonly door: string;
  /** Default none. */
  readonly profiles?: Profiles;
}

/** How long taking up one half-removed agent may take. */
const RECOVERY_MS = 120_000;

/** The hub: tasks, agents and their sessions, on a store and an output log that are open already. */
export class Hub implements HubApi {
  readonly tasks: TaskService;
  readonly agents: AgentRegistry;
  readonly logs: LogReader;
  readonly events: EventReader;
  readonly admin: AdminService;
  readonly door: AgentDoor;
  private readonly sessions = new Sessions();
  private readonly presence: Presence;
  private readonly barriers: Barriers;
  private readonly fences: Fences;
  private readonly opener: SessionOpener;
  private readonly janitor: Janitor;
  private readonly activity: Activity;
  private readonly maker: AgentMaker;
  private readonly stopping = new AbortController();

  constructor(private readonly options: HubOptions) {
    const { ctx, machines, levels, version, door } = options;
    const { sessions } = this;
    const watchers = new TaskWatchers();
    const scheduler = new Scheduler(ctx, sessions, watchers);
    const changes = new TaskChanges(ctx, watchers, scheduler);
    const shells = new Shells(ctx);
    this.presence = new Presence(ctx, sessions);
    this.barriers = new Barriers(ctx);
    this.fences = new Fences(ctx, changes);
    this.janitor = new Janitor(ctx, changes, this.presence, sessions);
    const { presence, barriers } = this;
    const { fences } = this;
    const reconciler = new SessionReconciler(ctx, changes, fences);
    this.opener = new SessionOpener({ ctx, sessions, changes, scheduler, presence, fences, reconciler });
    const { opener } = this;
    this.tasks = new TaskService({ ctx, sessions, watchers, changes });
    this.activity = new Activity(ctx, sessions, shells);
    const { profiles = NO_PROFILES } = options;
    const furnisher = new Furnisher({ ctx, machines, tasks: this.tasks });
    this.maker = new AgentMaker({ ctx, machines, presence, profiles, furnisher });
    const { maker } = this;
    const trust = (agent: string) => this.opener.trust(agent);
    this.agents = new AgentRegistry({
      ctx,
      sessions,
      presence,
      changes,
      fences,
      shells,
      maker,
      machines,
      door,
      trust,
    });
    this.logs = new LogReader(ctx, watchers);
    this.events = new EventReader(ctx);
    this.admin = new AdminService({ ctx, sessions, presence, levels, version });
    this.door = new AgentDoor({ ctx, opener, shells, barriers });
  }

  /** Takes up the agents that an earlier hub knew. Call before agents can connect. */
  async start(): Promise<void> {
    for (const agent of await this.options.ctx.store.agents.list()) this.presence.known(agent.id);
    this.janitor.start();
  }

  /**
   * Completes or undoes what an earlier hub left half done: an agent whose machine runs is READY, one that was
   * being made and whose machine does not run is FAILED, one that was being removed is removed. Call once, when the
   * machines' records are true again.
   */
  async recover(): Promise<void> {
    for (const agent of await this.options.ctx.store.agents.list()) {
      if (agent.phase === 'CREATING') await this.settleCreating(agent);
      if (agent.phase === 'DESTROYING')
        await this.agents.remove(agent.id, true, AbortSignal.timeout(RECOVERY_MS));
    }
  }

  /** Takes no new tasks, tells agents to come back later, and stops. Tasks run on. */
  async close(): Promise<void> {
    this.tasks.stop();
    this.stopping.abort(new HubError('HUB_STOPPING', 'the hub is stopping'));
    await this.janitor.close();
    for (const session of this.sessions.all()) {
      session.send({ type: 'drain', reconnectAfterMs: 0 });
      session.close('HUB_STOPPED');
    }
  }

  /** What furnishes a machine may take long: it is gone on with in the background. */
  private async settleCreating(agent: AgentRecord): Promise<void> {
    const { log, store } = this.options.ctx;
    if (this.machineState(agent.id) !== 'RUNNING') {
      await store.agents.update(agent.id, { phase: 'FAILED', reason: 'HUB_RESTARTED' });
      return;
    }
    const { signal } = this.stopping;
    if (agent.profile === undefined) await this.maker.resume(agent, signal);
    else runDetached(log, `furnishing ${agent.id}`, () => this.maker.resume(agent, signal));
  }

  private machineState(id: string): string {
    try {
      return this.options.machines.get(id).state;
    } catch {
      return 'ABSENT';
    }
  }

  /** A machine changed: its stages and states are events. */
  async machineChanged(vm: Vm, stage?: VmStage): Promise<void> {
    if (vm.state === 'STARTING' || vm.state === 'RUNNING') this.sessions.unbar(vm.name);
    if (vm.state === 'STARTING') this.opener.trust(vm.name);
    if (vm.state === 'STOPPED') await this.fences.confirmAll(vm.name);
    if (!stage) {
      await this.presence.event('vm.state', vm.name, vm.state, '', vm.error);
      return;
    }
    const took = stage.durationMs === undefined ? '' : ` (${(stage.durationMs / 1000).toFixed(1)} s)`;
    const message = `${stage.detail}${took}${stage.error ? `: ${stage.error}` : ''}`;
    await this.presence.event('vm.stage', vm.name, vm.state, stage.name, message);
  }

  /** What a machine has in hand ends as LOST; its session is over; its older selves are refused. */
  async fence(name: string, reason: string, vmGeneration: number): Promise<void> {
    this.sessions.bar(name);
    await this.options.ctx.store.agents.update(name, { vmGeneration, reason });
    this.sessions.get(name)?.close(reason, new HubError('FENCED', `the machine was fenced: ${reason}`));
    await this.agents.loseTasks(name, reason);
  }

  /** Freezes an agent's tasks; an agent that is away has none that could be asked. */
  async freeze(name: string, signal: AbortSignal): Promise<() => Promise<void>> {
    const session = this.sessions.get(name);
    if (!session)
      throw new HubError('AGENT_OFFLINE', `agent ${name} is not connected`, { metadata: { agent: name } });
    return this.barriers.freeze(session, signal);
  }

  /** Those of the agents in which something goes on. */
  busy(agents: readonly string[]): Promise<ReadonlySet<string>> {
    return this.activity.busy(agents);
  }

  /** A machine is being ended by itself, or could not be. */
  async expiring(name: string, cause: 'TTL' | 'IDLE', message: string): Promise<void> {
    await this.presence.event('vm.expire', name, this.machineState(name), cause, message);
  }

  /** Resolves once the agent of a machine is connected. */
  async online(name: string, vmGeneration: number, signal: AbortSignal): Promise<void> {
    await this.presence.untilOnline(name, vmGeneration, signal);
  }
}

const NO_PROFILES: Profiles = {
  find: () => Promise.reject(HubError.invalid({ field: 'profile', description: 'this hub has no profiles' })),
};
