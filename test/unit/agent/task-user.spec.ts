import { expect } from 'chai';
import { asUser, environmentOf, findTaskUser } from '../../../src/agent/task-user.js';

const PASSWD = `root:x:0:0:root:/root:/bin/bash
agent:x:1000:1001:Agent,,,:/home/agent:/bin/bash
bare:x:7:8:::
`;

describe('task user', () => {
  it('is found by the whole of its name', () => {
    const agent = { name: 'agent', uid: 1000, gid: 1001, home: '/home/agent', shell: '/bin/bash' };
    expect(findTaskUser('agent', PASSWD)).to.deep.equal(agent);
    expect(findTaskUser('bare', PASSWD)).to.include({ uid: 7, gid: 8, shell: '/bin/sh' });
    for (const name of ['age', 'agent:x', '', '1000']) expect(findTaskUser(name, PASSWD)).to.equal(undefined);
  });

  it('runs a command line behind setpriv, and nobody runs it as it is', () => {
    const user = findTaskUser('agent', PASSWD);
    const line = ['setpriv', '--reuid=1000', '--regid=1001', '--init-groups', '--', 'ls', '-l'];
    expect(asUser(user, ['ls', '-l'])).to.deep.equal(line);
    expect(asUser(undefined, ['ls'])).to.deep.equal(['ls']);
  });

  it('has the environment of a login', () => {
    const user = findTaskUser('agent', PASSWD);
    const env = user === undefined ? {} : environmentOf(user);
    expect(env).to.include({ HOME: '/home/agent', USER: 'agent', LOGNAME: 'agent', SHELL: '/bin/bash' });
    expect(env.PATH?.split(':')[0]).to.equal('/home/agent/.local/bin');
    expect(env.PATH).to.match(/:\/usr\/bin(:|$)/);
  });
});
