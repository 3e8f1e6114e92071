import { rmSync } from 'node:fs';
import { expect } from 'chai';
import { type AgentFiles, makeAgentFiles } from '../../support/conversation/agent-files.js';
import {
  HubScene,
  type HubTemplate,
  makeTemplate,
  STDERR,
  STDOUT,
  TASK,
} from '../../support/conversation/hub-scene.js';
import {
  clientFrames,
  type Recording,
  record,
  replay,
  serverFrames,
} from '../../support/conversation/recording.js';
import { ResumingAgent } from '../../support/conversation/resuming-agent.js';
import { TapProxy } from '../../support/conversation/tap-proxy.js';

/** `CUTS=all` cuts at every byte; else at every frame and at each so many bytes, from `CUT_OFFSET` on. */
const STEP = process.env.CUTS === 'all' ? 1 : 14;
const OFFSET = Number(process.env.CUT_OFFSET ?? Date.now() % STEP);
const RUN_MS = 10_000;

/** Where to cut: at all frames, and at some bytes between them. */
function cuts(bytes: Buffer, bounds: readonly number[], phase = 0): number[] {
  const sample = Array.from(bytes, (_, at) => at).filter((at) => (at + OFFSET + phase) % STEP === 0);
  return [...new Set([...bounds, ...sample])].sort((a, b) => a - b);
}

/** Resolves once the task is over, the agent has told everything and left, with what there is then. */
async function finish(scene: HubScene, agent: ResumingAgent) {
  await scene.harness.hub.tasks.wait(TASK, RUN_MS, AbortSignal.timeout(RUN_MS));
  await agent.close();
  const facts = await scene.facts();
  expect(facts.written).to.deep.equal({ STDOUT: STDOUT.join(''), STDERR, GAP: '' });
  expect(facts.ends).to.deep.equal(['vm_agent_tasks_total{type="exec",state="SUCCEEDED"} 1']);
  expect(facts.task.outcome).to.include({ exitCode: 0, stdoutBytes: 8, stderrBytes: 4, lostBytes: 0 });
  expect(facts.attempts.filter(({ startMs }) => startMs !== undefined).length, 'attempts that ran').to.equal(
    1,
  );
  expect([facts.state, facts.currentTasks], 'nothing is left open').to.deep.equal(['OFFLINE', []]);
  return facts;
}

describe(`a conversation that is cut (CUT_OFFSET=${OFFSET})`, function () {
  this.timeout(10 * 60_000);
  let template: HubTemplate;
  let files: AgentFiles & { readonly dir: string };
  let recording: Recording;

  before(async () => {
    template = await makeTemplate();
    files = await makeAgentFiles();
    recording = await record(template, files);
  });
  after(() => {
    for (const { dir } of [template, files]) rmSync(dir, { recursive: true });
  });

  /** The agent has run the task when it was handed it, and else does it now. */
  async function cutUp(at: number, how: 'FIN' | 'RST') {
    const scene = await HubScene.open(template);
    try {
      await replay(scene, recording, at, how);
      const { record: before } = await scene.facts();
      const handed = at > recording.greeting;
      using agent = await ResumingAgent.start(
        handed ? files.after : files.before,
        scene.port,
        template.token,
      );
      const { record: after, attempts } = await finish(scene, agent);
      expect(agent.runs, 'runs behind the cut').to.equal(handed ? 0 : 1);
      if (handed)
        expect(attempts.map(({ number, state }) => [number, state])).to.deep.equal([[1, 'SUCCEEDED']]);
      expect(after.sessionGeneration).to.be.above(before.sessionGeneration);
    } finally {
      await scene.close();
    }
  }

  for (const [how, phase] of [
    ['FIN', 0],
    ['RST', STEP / 2],
  ] as const)
    it(`by the agent's ${how}, at any frame and byte that it sends, goes on exactly`, async () => {
      const { bytes } = recording;
      expect(bytes.length).to.be.above(recording.greeting + 200);
      for (const at of cuts(bytes, clientFrames(bytes), Math.floor(phase))) {
        await cutUp(at, how).catch((err: unknown) => {
          throw new Error(`cut after ${at} of ${bytes.length} bytes`, { cause: err });
        });
      }
    });

  /** Runs the task over a proxy, which breaks the connection once; answers whether it did, and what the hub sent. */
  async function cutDown(at?: number): Promise<{ readonly cut: boolean; readonly bytes: Buffer }> {
    const scene = await HubScene.open(template);
    const tap = await TapProxy.listen(scene.port, at === undefined ? {} : { cutDownAfter: at });
    try {
      using agent = await ResumingAgent.start(files.before, tap.port, template.token);
      await finish(scene, agent);
      expect(agent.runs).to.equal(1);
      return { cut: tap.hasCut, bytes: tap.down };
    } finally {
      await tap.close();
      await scene.close();
    }
  }

  it('by the network, at any frame and byte that the hub sends, goes on exactly', async () => {
    const { bytes } = await cutDown();
    const all = cuts(bytes, serverFrames(bytes));
    let happened = 0;
    for (const at of all) {
      const { cut } = await cutDown(at).catch((err: unknown) => {
        throw new Error(`cut after ${at} of about ${bytes.length} bytes`, { cause: err });
      });
      happened += cut ? 1 : 0;
    }
    expect(happened, 'frames that are merged make a conversation shorter').to.be.above(all.length * 0.7);
  });
});
