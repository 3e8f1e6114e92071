import { expect } from 'chai';
import { systemClock } from '../../../src/base/clock.js';
import { BackStop } from '../../../src/hub/back-stop.js';
import { execSpec, sampleTask } from '../../support/samples.js';

describe('BackStop', () => {
  it('counts from when this hub saw the task run, without standstills; kills once, and gives up later', () => {
    let nowMs = 1_000_000;
    const backStop = new BackStop({ ...systemClock, monotonic: () => nowMs });
    const spec = execSpec('sleep', { timeoutMs: 5_000 });
    const task = sampleTask({ state: 'RUNNING', attempt: 1, startMs: 1, spec });
    const actions = (seconds: number) => {
      const seen = new Set<string>();
      for (let n = 0; n < seconds; n += 1) {
        nowMs += 1000;
        for (const { action } of backStop.look([task])) seen.add(action);
      }
      return [...seen];
    };
    expect(actions(45), 'it began long ago, but this hub has just come').to.deep.equal(['nothing']);
    nowMs += 3_600_000;
    expect(actions(1), 'the hub stood still').to.deep.equal(['nothing']);
    expect(actions(2)).to.deep.equal(['kill', 'nothing']);
    expect(actions(50)).to.deep.equal(['nothing']);
    expect(actions(11)).to.include('give-up');
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
