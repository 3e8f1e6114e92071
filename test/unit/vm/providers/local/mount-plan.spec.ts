import { expect } from 'chai';
import { machinePaths } from '../../../../../src/vm/providers/local/machine-files.js';
import {
  isInside,
  machineHome,
  mountPlan,
  nodeDirs,
  privatePathsFor,
} from '../../../../../src/vm/providers/local/mount-plan.js';

const paths = machinePaths('/var/m', 'dev');
const own = [
  { target: '/tmp', part: 'tmp' },
  { target: '/tmp/user', part: 'home' },
];

describe('mountPlan', () => {
  it('binds all sources before it hides anything, and /mnt last', () => {
    const plan = mountPlan(paths, { privatePaths: own, visible: [], doorDir: '/tmp/run' });
    expect(plan).to.deep.equal([
      ['bind', '/tmp/run', '/var/m/dev/mnt/door'],
      ['ro', '-', '/var/m/dev/mnt/door'],
      ['rbind', '/var/m/dev', '/mnt'],
      ['bind', '/mnt/root/tmp', '/tmp'],
      ['bind', '/mnt/root/home', '/tmp/user'],
      ['rbind', '/mnt/mnt', '/mnt'],
    ]);
  });

  it('keeps visible what would be hidden, read-only, and leaves the rest alone', () => {
    const visible = ['/usr', '/proc/self/nothing-here', '/tmp', '/tmp'];
    const plan = mountPlan(paths, { privatePaths: own, visible });
    expect(plan.filter(([kind]) => kind === 'ro')).to.deep.equal([['ro', '-', '/var/m/dev/mnt/keep/0']]);
    expect(plan.at(-1)).to.deep.equal(['rbind', '/mnt/keep/0', '/tmp']);
  });
});

describe('nodeDirs', () => {
  const check = (node: string, expected: readonly string[]) =>
    it(`of ${node} are ${expected.join(' and ')}`, () => expect(nodeDirs(node, own)).to.deep.equal(expected));
  check('/usr/bin/node', ['/usr']);
  check('/tmp/user/.nvm/versions/node/v20/bin/node', ['/tmp/user/.nvm/versions/node/v20']);
  check('/tmp/bin/node', ['/tmp/bin', '/tmp/lib/node_modules']);
  check('/bin/node', ['/bin', '/lib/node_modules']);
});

describe('private paths', () => {
  it('come parents first and only where the host has them', () => {
    const targets = privatePathsFor('/tmp/x/y').map(({ target }) => target);
    expect(targets).to.include.members(['/tmp', '/tmp/x/y']);
    expect(targets.indexOf('/tmp')).to.be.lessThan(targets.indexOf('/tmp/x/y'));
  });

  it('have a home of their own for a user without one', () => {
    expect([machineHome('/'), machineHome('/no/such/home'), machineHome('/usr')]).to.deep.equal([
      '/tmp/home',
      '/tmp/home',
      '/usr',
    ]);
  });

  it('know what lies inside', () => {
    expect(isInside('/a/b', '/a')).to.equal(true);
    expect(isInside('/a', '/a')).to.equal(true);
    expect(isInside('/ab', '/a')).to.equal(false);
    expect(isInside('/a', '/a/b')).to.equal(false);
    expect(isInside('/a/..b', '/a')).to.equal(true);
  });
});
