import { expect } from 'chai';
import { optionsFrom, SHORT } from '../chaos/options.js';
import { runChaos } from '../chaos/run.js';

describe('a system that is broken all the time', function () {
  this.timeout(400_000);

  const options = optionsFrom(process.env, SHORT);

  it(`loses nothing, doubles nothing and takes nothing back (SEED=${options.seed})`, async () => {
    const faults: string[] = [];
    const { violations, ends, counts } = await runChaos(options, (line) => faults.push(line));
    const story = `SEED=${options.seed} KIND=short replays it with make chaos\n${faults.join('\n')}`;
    expect(violations, story).to.deep.equal([]);
    expect(ends.SUCCEEDED, 'tasks that succeeded').to.be.above(options.tasks / 2);
    expect(counts.killHub).to.equal(options.hubKills);
  });
});
