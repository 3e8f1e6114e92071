import { join } from 'node:path';
import { expect } from 'chai';
import { Spool } from '../../../src/agent/spool.js';

describe('Spool', () => {
  it('recovers a task that wrote nothing, whose folder was never made', () => {
    const spool = new Spool({ task: 't', attempt: 1 }, join('/nonexistent', 't~1'));
    spool.recover();
    expect(spool.totals).to.deep.equal({ STDOUT: 0, STDERR: 0 });
    expect(spool.drained).to.equal(true);
  });
});
