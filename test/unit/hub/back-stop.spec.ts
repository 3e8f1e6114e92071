import { expect } from 'chai';
import { systemClock } from '../../../src/base/clock.js';
import { BackStop } from '../../../src/hub/back-stop.js';
import { execSpec, sampleTask } from '../../support/samples.js';

describe('BackStop', () => {
  it('counts from when this hub saw the task run, kills once, and gives up later', () => {
    let nowMs = 1_000_000;
    const backStop = new BackStop({ ...systemClock, monotonic: () => nowMs });
    const spec = execSpec('sleep', { timeoutMs: 5_000 });
    const task = sampleTask({ state: 'RUNNING', attempt: 1, startMs: 1, spec });
    const look = () => backStop.look([task]).map(({ action }) => action);
    expect(look(), 'it began long ago, but this hub has just come').to.deep.equal(['nothing']);
    nowMs += 44_000;
    expect(look()).to.deep.equal(['nothing']);
    nowMs += 2_000;
    expect(look()).to.deep.equal(['kill']);
    expect(look()).to.deep.equal(['nothing']);
    nowMs += 60_000;
    expect(look()).to.deep.equal(['give-up']);
  });

  it('forgets tasks that have ended', () => {
    let nowMs = 0;
    const backStop = new BackStop({ ...systemClock, monotonic: () => nowMs });
    const task = sampleTask({ state: 'RUNNING', attempt: 1, spec: execSpec('x', { timeoutMs: 0 }) });
    backStop.look([task]);
    nowMs = 200_000;
    backStop.look([]);
    expect(backStop.look([task])[0]?.action).to.equal('nothing');
  });
});
