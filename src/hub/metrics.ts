import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';

/** Upper bounds of task run times in seconds. */
const TASK_SECONDS = [0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 900, 1800, 7200];

/** What is read at the moment of a scrape. */
export interface MetricsSource {
  agents(): { readonly online: number; readonly offline: number };
  tasks(): Promise<{ readonly queued: number; readonly active: number }>;
}

/**
 * All metrics of the hub, with their names and labels. Labels are small fixed sets, never ids.
 * The three `vm_hub_` names are those of the first system.
 */
export class HubMetrics {
  readonly registry = new Registry();
  private readonly messages = new Counter({
    name: 'vm_hub_messages_total',
    help: 'Frames exchanged with agents.',
    labelNames: ['type', 'status'],
    registers: [this.registry],
  });
  private readonly agents = new Gauge({
    name: 'vm_hub_agents',
    help: 'Agents by status.',
    labelNames: ['status'],
    registers: [this.registry],
  });
  private readonly activeTasks = new Gauge({
    name: 'vm_hub_active_tasks',
    help: 'Tasks that are dispatched or run.',
    registers: [this.registry],
  });
  private readonly queueLength = new Gauge({
    name: 'vm_agent_task_queue_length',
    help: 'Tasks that wait.',
    registers: [this.registry],
  });
  private readonly created = new Counter({
    name: 'vm_agent_tasks_accepted_total',
    help: 'Tasks accepted, by type.',
    labelNames: ['type'],
    registers: [this.registry],
  });
  private readonly ended = new Counter({
    name: 'vm_agent_tasks_total',
    help: 'Tasks ended, by type and state.',
    labelNames: ['type', 'state'],
    registers: [this.registry],
  });
  private readonly duration = new Histogram({
    name: 'vm_agent_task_duration_seconds',
    help: 'Run time of tasks by type.',
    labelNames: ['type'],
    buckets: TASK_SECONDS,
    registers: [this.registry],
  });
  private readonly outputBytes = new Counter({
    name: 'vm_agent_output_bytes_total',
    help: 'Bytes of output stored.',
    registers: [this.registry],
  });
  private readonly lostBytes = new Counter({
    name: 'vm_agent_output_lost_bytes_total',
    help: 'Bytes of output declared lost.',
    registers: [this.registry],
  });
  private readonly sessions = new Counter({
    name: 'vm_agent_sessions_total',
    help: 'Sessions that agents opened.',
    registers: [this.registry],
  });
  private readonly calls = new Counter({
    name: 'vm_agent_rpc_total',
    help: 'Calls by method and gRPC code.',
    labelNames: ['method', 'code'],
    registers: [this.registry],
  });

  constructor(version: string) {
    collectDefaultMetrics({ register: this.registry });
    const info = { name: 'vm_agent_hub_info', help: 'Version of the hub.', labelNames: ['version'] as const };
    new Gauge({ ...info, registers: [this.registry] }).set({ version }, 1);
  }

  /** The text of a scrape. */
  async scrape(source: MetricsSource): Promise<{ contentType: string; text: string }> {
    const agents = source.agents();
    this.agents.set({ status: 'online' }, agents.online);
    this.agents.set({ status: 'offline' }, agents.offline);
    const tasks = await source.tasks();
    this.activeTasks.set(tasks.active);
    this.queueLength.set(tasks.queued);
    return { contentType: this.registry.contentType, text: await this.registry.metrics() };
  }

  frameReceived(type: string): void {
    this.messages.inc({ type, status: 'received' });
  }

  frameSent(type: string): void {
    this.messages.inc({ type, status: 'sent' });
  }

  taskCreated(type: string): void {
    this.created.inc({ type });
  }

  /** `seconds` is absent for a task that never started. */
  taskEnded(type: string, state: string, seconds: number | undefined): void {
    this.ended.inc({ type, state });
    if (seconds !== undefined) this.duration.observe({ type }, seconds);
  }

  outputStored(bytes: number): void {
    this.outputBytes.inc(bytes);
  }

  outputLost(bytes: number): void {
    this.lostBytes.inc(bytes);
  }

  sessionOpened(): void {
    this.sessions.inc();
  }

  callEnded(method: string, code: number): void {
    this.calls.inc({ method, code: String(code) });
  }
}
