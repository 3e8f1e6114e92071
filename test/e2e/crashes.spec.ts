import { expect } from 'chai';
import { Scene } from '../chaos/scene.js';

/** Longer than every pause between two attempts to reconnect. */
const LONG_MS = 15_000;

describe('20 running tasks', function () {
  this.timeout(120_000);
  let scene: Scene;

  beforeEach(async () => {
    scene = await Scene.open(4, 1);
  });
  afterEach(() => scene?.close());

  for (const [title, backAfterMs] of [
    ['1 s', 1000],
    [`${LONG_MS / 1000} s`, LONG_MS],
  ] as const) {
    it(`end once, with every line, when the hub is killed and comes back after ${title}`, async () => {
      await scene.startTasks(20, 12);
      await scene.cluster.killHub(backAfterMs);
      expect(await scene.verdict()).to.deep.equal([]);
    });
  }

  it('end once, with every line, when their agents are killed', async () => {
    await scene.startTasks(20, 12);
    await Promise.all([0, 1, 2, 3].map((agent) => scene.cluster.killAgent(agent, agent * 500)));
    expect(await scene.verdict()).to.deep.equal([]);
  });
});
