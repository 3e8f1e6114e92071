import { expect } from 'chai';
import { Scene } from '../chaos/scene.js';

/** A peer that is dead or stands still is known as such after this long. */
const NOTICED_MS = 15_000;
const PAUSE_MS = 17_000;

describe('a peer that stands still', function () {
  this.timeout(120_000);
  let scene: Scene;

  beforeEach(async () => {
    scene = await Scene.open(4);
  });
  afterEach(() => scene?.close());

  it('is noticed by the hub within 15 s when it is an agent; its tasks go on when it does', async () => {
    await scene.startTasks(12, 25);
    const paused = [0, 1, 2].map((agent) => scene.cluster.pauseAgent(agent, PAUSE_MS));
    const noticed = async () => !(await scene.online(2)());
    await scene.until('the hub misses three agents', noticed, NOTICED_MS);
    await Promise.all(paused);
    await scene.until('all agents are back', scene.online(4), 10_000);
    expect(await scene.verdict()).to.deep.equal([]);
  });

  it('is noticed by all agents within 15 s when it is the hub; nothing is lost', async () => {
    await scene.startTasks(8, 20);
    const paused = scene.cluster.pauseHub(PAUSE_MS);
    const noticed = async () =>
      scene.cluster.agents.every(({ said }) => /session ended|cannot be reached/.test(said));
    await scene.until('all agents miss the hub', noticed, NOTICED_MS);
    await paused;
    await scene.until('all agents are back', scene.online(4), 10_000);
    expect(await scene.verdict()).to.deep.equal([]);
  });
});

describe('20 agents', function () {
  this.timeout(120_000);

  it('are back within 5 s of a restart of the hub', async () => {
    const scene = await Scene.open(20);
    try {
      await scene.until('all agents are there', scene.online(20));
      await scene.cluster.killHub(3000);
      expect(await scene.until('all agents are back', scene.online(20))).to.be.below(5000);
    } finally {
      await scene.close();
    }
  });
});
