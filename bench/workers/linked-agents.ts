import { setMaxListeners } from 'node:events';
import { HubLink } from '../../src/agent/link/hub-link.js';
import { Outbox } from '../../src/agent/outbox.js';
import { OutputQueue } from '../../src/agent/output-queue.js';
import type { AgentSide } from '../../src/agent/session.js';
import { systemClock } from '../../src/base/clock.js';
import { silentLogger } from '../../src/base/logger.js';
import type { Hello } from '../../src/model/agent-protocol.js';
import type { Registered } from '../support/hub.js';
import { serve } from '../support/worker.js';

/** An agent without tasks behind the real link: it comes back as real agents do. */
class LinkedAgent implements AgentSide {
  readonly outbox = new Outbox();
  readonly output = new OutputQueue();
  online = false;

  constructor(private readonly agentId: string) {}

  hello(): Hello {
    const ids = {
      agentId: this.agentId,
      incarnation: this.agentId,
      bootId: 'bench',
      journalId: this.agentId,
    };
    const about = { version: 'bench', protocol: 1, capabilities: [], killScope: 'process_group' };
    return { ...ids, ...about, vmGeneration: 1, journalSequence: 0, attempts: [] };
  }

  opened(): void {
    this.online = true;
  }

  closed(): void {
    this.online = false;
  }

  received(): void {}

  unreadable(): void {}

  frameRefused(): void {}
}

const agents: LinkedAgent[] = [];
const stop = new AbortController();
setMaxListeners(0, stop.signal);

/** Agents without tasks, each with a real link of its own. */
export const linkedAgents = serve({
  connect(registered: readonly Registered[]): void {
    for (const { agentId, token, door } of registered) {
      const side = new LinkedAgent(agentId);
      agents.push(side);
      void new HubLink({ door, agentId, token, side, clock: systemClock, log: silentLogger }).run(
        stop.signal,
      );
    }
  },
  /** How many have a session. */
  online: (): number => agents.filter((agent) => agent.online).length,
  disconnect(): void {
    stop.abort(new Error('the bench is over'));
  },
});

export type LinkedAgents = typeof linkedAgents;
