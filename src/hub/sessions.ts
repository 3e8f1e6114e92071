import type { AgentSession } from './agent-session.js';

/** The sessions that are open: at most one an agent. */
export class Sessions {
  private readonly open = new Map<string, AgentSession>();
  private readonly barred = new Set<string>();

  get(agent: string): AgentSession | undefined {
    return this.open.get(agent);
  }

  all(): AgentSession[] {
    return [...this.open.values()];
  }

  get size(): number {
    return this.open.size;
  }

  /** An agent whose machine is being stopped may not come back until it is started. */
  bar(agent: string): void {
    this.barred.add(agent);
  }

  unbar(agent: string): void {
    this.barred.delete(agent);
  }

  isBarred(agent: string): boolean {
    return this.barred.has(agent);
  }

  /** Puts a session in the place of the one before, and answers that one. */
  replace(session: AgentSession): AgentSession | undefined {
    const before = this.open.get(session.agentId);
    this.open.set(session.agentId, session);
    return before;
  }

  /** Takes a session out; false when another one has its place already. */
  remove(session: AgentSession): boolean {
    if (this.open.get(session.agentId) !== session) return false;
    return this.open.delete(session.agentId);
  }
}
