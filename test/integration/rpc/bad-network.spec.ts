import { rmSync } from 'node:fs';
import { expect } from 'chai';
import { type AgentFiles, makeAgentFiles } from '../../support/conversation/agent-files.js';
import {
  AGENT,
  HubScene,
  type HubTemplate,
  makeTemplate,
  STDERR,
  STDOUT,
  TASK,
} from '../../support/conversation/hub-scene.js';
import { ResumingAgent } from '../../support/conversation/resuming-agent.js';
import { TcpProxy, type Way } from '../../support/proxy.js';

/** A peer that says nothing is known to be gone after this long. */
const NOTICED_MS = 15_000;

describe('a bad network between agent and hub', function () {
  this.timeout(60_000);
  let template: HubTemplate;
  let files: AgentFiles & { readonly dir: string };
  let scene: HubScene;
  let proxy: TcpProxy;
  let agent: ResumingAgent;

  before(async () => {
    template = await makeTemplate();
    files = await makeAgentFiles();
  });
  after(() => {
    for (const { dir } of [template, files]) rmSync(dir, { recursive: true });
  });
  beforeEach(async () => {
    scene = await HubScene.open(template);
    proxy = await TcpProxy.listen(scene.port);
  });
  afterEach(async () => {
    await proxy.close();
    await scene.close();
    agent[Symbol.dispose]();
  });

  async function run(way?: Way) {
    if (way) proxy.setWay(way);
    agent = await ResumingAgent.start(files.before, proxy.port, template.token);
    await scene.harness.hub.tasks.wait(TASK, 40_000, AbortSignal.timeout(40_000));
  }

  async function exact() {
    const { written, attempts } = await scene.facts();
    expect(written).to.deep.equal({ STDOUT: STDOUT.join(''), STDERR, GAP: '' });
    expect([agent.runs, attempts.map(({ state }) => state)]).to.deep.equal([1, ['SUCCEEDED']]);
  }

  /** Resolves when the hub says so of the agent; answers after how long. */
  async function until(state: 'ONLINE' | 'OFFLINE', limitMs: number): Promise<number> {
    const startMs = performance.now();
    const { hub } = scene.harness;
    while ((await hub.agents.get(AGENT)).state !== state) {
      if (performance.now() - startMs > limitMs) throw new Error(`not ${state} after ${limitMs} ms`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    return performance.now() - startMs;
  }

  for (const direction of ['up', 'down'] as const)
    it(`that carries nothing ${direction} is noticed within 15 s by both, and they find each other again`, async () => {
      await run();
      const { losses } = agent;
      proxy.setWay({ kind: 'drop', direction });
      const startMs = performance.now();
      await until('OFFLINE', NOTICED_MS);
      while (agent.losses === losses && performance.now() - startMs < NOTICED_MS)
        await new Promise((resolve) => setTimeout(resolve, 50));
      expect(agent.losses, 'the agent has noticed too').to.be.above(losses);
      proxy.heal();
      await until('ONLINE', 12_000);
      await agent.close();
      await exact();
    });

  for (const way of [
    { kind: 'delay', ms: 500 },
    { kind: 'slow', bytesPerSecond: 1000 },
    { kind: 'split', bytes: 1 },
  ] as const)
    it(`that is bad (${way.kind}) makes a task slower, and nothing else`, async () => {
      await run(way);
      expect((await scene.facts()).state).to.equal('ONLINE');
      await agent.close();
      await exact();
    });
});
