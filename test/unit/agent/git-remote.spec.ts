import { expect } from 'chai';
import { TaskFailure } from '../../../src/agent/executors/executor.js';
import { parseGitRemote, repositoryName } from '../../../src/agent/executors/git-remote.js';

describe('parseGitRemote', () => {
  it('takes credentials out of http addresses', () => {
    const remote = parseGitRemote('https://me:p%40ss@example.com/a.git');
    expect(remote).to.deep.equal({ url: 'https://example.com/a.git', username: 'me', password: 'p@ss' });
  });

  for (const address of [
    'https://example.com/a.git',
    'git@example.com:a/b.git',
    '/srv/a.git',
    'file:///srv/a',
  ])
    it(`leaves ${address} as it is`, () => {
      expect(parseGitRemote(address)).to.deep.equal({ url: address });
    });

  for (const address of ['', '--upload-pack=touch x', '-oProxyCommand=x:a', 'ext::sh -c id', 'https://[bad'])
    it(`refuses ${JSON.stringify(address)}`, () => {
      expect(() => parseGitRemote(address)).to.throw(TaskFailure);
    });
});

describe('repositoryName', () => {
  const names = {
    'https://example.com/a/project.git': 'project',
    'git@example.com:project.git': 'project',
    '/srv/project/.git': 'project',
    'https://example.com/project/?x=1': 'project',
  };
  for (const [address, name] of Object.entries(names))
    it(`of ${address} is ${name}`, () => {
      expect(repositoryName(address)).to.equal(name);
    });

  it('is refused when there is none', () => {
    expect(() => repositoryName('https://example.com/..')).to.throw(TaskFailure);
  });
});
