import { expect } from 'chai';
import fc from 'fast-check';
import { AckTracker } from '../../../src/hub/ack-tracker.js';

describe('AckTracker', () => {
  it('acknowledges only what has nothing unfinished before it', () => {
    const acks = new AckTracker(0);
    const [one, two, three] = [acks.begin(1), acks.begin(2), acks.begin(3)];
    expect(two()).to.equal(0);
    expect(acks.positionWith(3), '1 is open').to.equal(0);
    expect(acks.positionWith(1), 'what the position is at least once 1 is stored').to.equal(1);
    expect(one()).to.equal(2);
    expect(three()).to.equal(3);
    expect(acks.position).to.equal(3);
  });

  it('ends at the last sequence, in whatever order work ends', () => {
    fc.assert(
      fc.property(fc.shuffledSubarray([1, 2, 3, 4, 5, 6], { minLength: 6 }), (order) => {
        const acks = new AckTracker(0);
        const done = new Map([1, 2, 3, 4, 5, 6].map((n) => [n, acks.begin(n)]));
        const finished = new Set<number>();
        for (const n of order) {
          finished.add(n);
          const position = done.get(n)?.() ?? Number.NaN;
          for (let k = 1; k <= position; k += 1) expect(finished.has(k)).to.equal(true);
        }
        expect(acks.position).to.equal(6);
      }),
    );
  });
});
