import { expect } from 'chai';
import { HubHarness } from '../../support/hub-harness.js';
import { ScriptedAgent } from '../../support/scripted-agent.js';

/** More turns of the event loop than a session needs to open. */
const TURNS = 12;

/** Lets an agent say Hello, and fences its machine so many turns later; answers what became of a waiting task. */
async function fenceAfter(turns: number) {
  const harness = await HubHarness.start();
  try {
    await harness.hub.agents.register('a', {});
    const { id } = await harness.post(undefined);
    const agent = new ScriptedAgent(harness.hub, 'a');
    agent.hello();
    const over = agent.ended().then(
      () => 'ended',
      () => 'fenced',
    );
    for (let turn = 0; turn < turns; turn++) await new Promise(setImmediate);
    await harness.hub.fence('a', 'RESTORED', 2);
    for (let turn = 0; turn < TURNS; turn++) await new Promise(setImmediate);
    const { task } = await harness.hub.tasks.get(id);
    return { end: await over, state: task.state, reason: task.outcome?.reason ?? '' };
  } finally {
    await harness.close();
  }
}

describe('a machine that is fenced while its agent connects', () => {
  for (let turns = 0; turns < TURNS; turns++) {
    it(`keeps no session and no task in hand, ${turns} turns after Hello`, async () => {
      const { end, state, reason } = await fenceAfter(turns);
      expect(end).to.equal('fenced');
      expect(`${state} ${reason}`).to.be.oneOf(['QUEUED ', 'LOST RESTORED']);
    });
  }
});
