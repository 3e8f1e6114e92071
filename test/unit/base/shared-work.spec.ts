import { expect } from 'chai';
import { deferred } from '../../../src/base/deferred.js';
import { SharedWork } from '../../../src/base/shared-work.js';

describe('SharedWork', () => {
  it('runs once for all who ask while it runs, after it, and never twice at a time', async () => {
    const runs: ReturnType<typeof deferred<string>>[] = [];
    const shared = new SharedWork(() => {
      const run = deferred<string>();
      runs.push(run);
      return run.promise;
    });
    const first = shared.run();
    const later = Array.from({ length: 100 }, () => shared.run());
    expect(runs.length).to.equal(1);
    runs[0]?.resolve('before they asked');
    expect(await first).to.equal('before they asked');
    await Promise.resolve();
    expect(runs.length).to.equal(2);
    runs[1]?.resolve('after they asked');
    expect(new Set(await Promise.all(later))).to.deep.equal(new Set(['after they asked']));
    expect(runs.length).to.equal(2);
  });

  it('goes on after a failure', async () => {
    let runs = 0;
    const shared = new SharedWork(async () => {
      runs += 1;
      if (runs === 1) throw new Error('once');
      return runs;
    });
    const [failed, next] = [shared.run(), shared.run()];
    expect(await failed.catch((err: Error) => err.message)).to.equal('once');
    expect(await next).to.equal(2);
  });
});
