import { expect } from 'chai';
import { Lanes } from '../../../src/agent/lanes.js';

interface Item {
  readonly name: string;
  readonly lane: string;
  readonly stopLaneOnFailure: boolean;
}

describe('Lanes', () => {
  let started: string[];
  let givenBack: string[];
  let lanes: Lanes<Item>;

  beforeEach(() => {
    started = [];
    givenBack = [];
    lanes = new Lanes<Item>({
      start: (item) => void started.push(item.name),
      giveBack: (item) => void givenBack.push(item.name),
    });
  });

  function add(name: string, lane = 'default', stopLaneOnFailure = false): Item {
    const item = { name, lane, stopLaneOnFailure };
    lanes.add(item);
    return item;
  }

  it('starts one at a time in order', () => {
    const first = add('a');
    add('b');
    expect(started).to.deep.equal(['a']);
    lanes.ended(first, true);
    expect(started).to.deep.equal(['a', 'b']);
  });

  it('runs other lanes beside it', () => {
    add('a');
    add('b', 'other');
    expect(started).to.deep.equal(['a', 'b']);
    expect(lanes.running).to.equal(2);
  });

  it('starts as many at once as the lane is wide', () => {
    lanes.setWidth('default', 2);
    const [first] = [add('a'), add('b'), add('c')];
    expect(started).to.deep.equal(['a', 'b']);
    lanes.ended(first, false);
    expect(started).to.deep.equal(['a', 'b', 'c']);
  });

  it('widens while items wait', () => {
    add('a');
    add('b');
    lanes.setWidth('default', 2);
    expect(started).to.deep.equal(['a', 'b']);
  });

  it('gives back what waits behind a failure that stops the lane', () => {
    const first = add('a', 'default', true);
    add('b');
    add('c', 'other');
    lanes.ended(first, true);
    expect(givenBack).to.deep.equal(['b']);
    expect(started).to.deep.equal(['a', 'c']);
  });

  it('takes out an item that waits, and no other', () => {
    const first = add('a');
    const second = add('b');
    expect(lanes.remove(second)).to.equal(true);
    expect(lanes.remove(first)).to.equal(false);
    lanes.ended(first, false);
    expect(started).to.deep.equal(['a']);
  });

  it('starts nothing while held', () => {
    lanes.setHeld(true);
    add('a');
    expect(started).to.deep.equal([]);
    lanes.setHeld(false);
    expect(started).to.deep.equal(['a']);
  });
});
