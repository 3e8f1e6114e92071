import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Agent } from '../../src/agent/agent.js';
import { HubLink } from '../../src/agent/link/hub-link.js';
import type { SpoolLimits } from '../../src/agent/spool-writer.js';
import { systemClock } from '../../src/base/clock.js';
import { silentLogger } from '../../src/base/logger.js';
import { createAgentDoor } from '../../src/rpc/agent-door.js';
import { bestScope } from './agent-harness.js';
import type { HubHarness } from './hub-harness.js';

/** What a {@link RealAgent} may be told. */
export interface RealAgentOptions {
  readonly id?: string;
  /** Default: a directory of its own. */
  readonly stateDir?: string;
  readonly spoolLimits?: SpoolLimits;
}

/** A real agent, in this process, joined over gRPC to the hub of a harness. */
export class RealAgent {
  private readonly dir = mkdtempSync(join(tmpdir(), 'real-agent-'));
  private readonly stopLink = new AbortController();
  private readonly ending: (() => Promise<unknown>)[] = [];

  private constructor(
    readonly id: string,
    /** The working directory of its tasks. */
    readonly home: string,
  ) {}

  static async join({ hub }: HubHarness, options: RealAgentOptions = {}): Promise<RealAgent> {
    const { id = 'dev', spoolLimits } = options;
    const self = new RealAgent(id, mkdtempSync(join(tmpdir(), 'real-agent-home-')));
    const { token } = await hub.agents.register(id, {});
    const address = `unix:${join(self.dir, 'door.sock')}`;
    const door = createAgentDoor({ hub, log: silentLogger });
    await door.listen(address);
    self.ending.push(() => door.close({ graceMs: 200 }));
    const agent = await Agent.start({
      config: {
        agentId: id,
        stateDir: options.stateDir ?? join(self.dir, 'state'),
        vmGeneration: 1,
        home: self.home,
        allowSudo: true,
        capabilities: [],
      },
      version: '0.0.0',
      bootId: 'boot',
      scope: await bestScope(),
      baseEnv: { PATH: process.env.PATH ?? '' },
      uid: process.getuid?.() ?? 0,
      node: process.execPath,
      clock: systemClock,
      log: silentLogger,
      ...(spoolLimits === undefined ? {} : { spoolLimits }),
    });
    const options_ = {
      door: address,
      agentId: id,
      token,
      side: agent,
      clock: systemClock,
      log: silentLogger,
    };
    const running = new HubLink(options_).run(self.stopLink.signal);
    self.ending.push(
      () => agent.close(),
      () => running,
      async () => (await agent.stop(1000)) || self.stopLink.abort(new Error('the test is over')),
    );
    const online = AbortSignal.timeout(5000);
    await hub.online(id, 1, online);
    return self;
  }

  async close(): Promise<void> {
    for (const end of this.ending.reverse()) await end();
    for (const dir of [this.dir, this.home]) rmSync(dir, { recursive: true, force: true });
  }
}
