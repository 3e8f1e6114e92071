import { expect } from 'chai';
import { HubError } from '../../../../src/model/hub-error.js';
import { parseProfile } from '../../../../src/vm/profiles/profile-schema.js';

const FULL = {
  name: 'mine',
  description: 'all of it',
  resources: { cpu: 4, memory: '8G', disk: '512MiB' },
  environment: { CI: 'true', _X1: 'a b $HOME', PATH: '/opt/bin:/usr/bin' },
  files: [{ path: '/etc/motd', content: 'hi\n' }, { path: '~/.npmrc' }],
  packages: ['git', 'g++', 'libc6:i386', 'curl=7.88.1-10+deb12u8'],
  repositories: [{ url: 'https://example.org/a.git', destination: '/opt/a', branch: 'main' }],
  setup_tasks: [{ type: 'exec', command: 'echo hi', description: 'says hi' }, { command: 'true' }],
};

function badFields(value: unknown, name = 'mine'): string[] {
  try {
    parseProfile(value, name);
  } catch (err) {
    if (err instanceof HubError) return err.fields.map(({ field }) => field);
    throw err;
  }
  return [];
}

describe('parseProfile', () => {
  it('reads the schema of the first system', () => {
    expect(parseProfile(FULL, 'mine')).to.deep.equal({
      name: 'mine',
      description: 'all of it',
      resources: FULL.resources,
      environment: FULL.environment,
      files: [
        { path: '/etc/motd', content: 'hi\n' },
        { path: '~/.npmrc', content: '' },
      ],
      packages: FULL.packages,
      repositories: FULL.repositories,
      setupTasks: [
        { command: 'echo hi', description: 'says hi' },
        { command: 'true', description: '' },
      ],
    });
  });

  it('needs nothing but the name', () => {
    const nothing = { files: [], packages: [], repositories: [], setupTasks: [] };
    expect(parseProfile({ name: 'mine' }, 'mine')).to.deep.equal({
      name: 'mine',
      description: '',
      resources: {},
      environment: {},
      ...nothing,
    });
  });

  const cases: readonly (readonly [unknown, readonly string[]])[] = [
    ['text', ['file', 'name', 'name']],
    [{ name: 'other' }, ['name']],
    [{ name: 'mine', extra: 1, package: [] }, ['extra', 'package']],
    [
      { name: 'mine', resources: { cpu: 0, memory: '2x', disk: 5 } },
      ['resources.cpu', 'resources.memory', 'resources.disk'],
    ],
    [{ name: 'mine', resources: { cpus: 2 } }, ['resources.cpus']],
    [{ name: 'mine', resources: [] }, ['resources']],
    [{ name: 'mine', environment: { '1A': 'x' } }, ['environment.1A']],
    [{ name: 'mine', environment: { A: 1 } }, ['environment.A']],
    [{ name: 'mine', environment: { A: 'x\0' } }, ['environment.A']],
    [{ name: 'mine', environment: { PATH: '$PATH:/opt/bin' } }, ['environment.PATH']],
    [{ name: 'mine', environment: { A: 'x'.repeat(65_536) } }, ['environment']],
    [{ name: 'mine', packages: 'git' }, ['packages']],
    [
      { name: 'mine', packages: ['git', '-o', 'a b', '', 5] },
      ['packages[4]', 'packages[1]', 'packages[2]', 'packages[3]'],
    ],
    [{ name: 'mine', files: [{ content: 'x' }] }, ['files[0].path', 'files[0].path']],
    [
      { name: 'mine', files: [{ path: 'etc/x' }, { path: '/a/../b' }, { path: '/a/' }] },
      ['files[0].path', 'files[1].path', 'files[2].path'],
    ],
    [{ name: 'mine', files: [{ path: '/a', mode: 1 }] }, ['files[0].mode']],
    [
      { name: 'mine', repositories: [{ url: '--upload-pack=x' }, { url: 'ext::sh' }] },
      ['repositories[0].url', 'repositories[1].url'],
    ],
    [
      { name: 'mine', repositories: [{ url: 'a', destination: '-x', branch: '-b' }] },
      ['repositories[0].destination', 'repositories[0].branch'],
    ],
    [
      { name: 'mine', setup_tasks: [{ type: 'script', command: 'x' }, { command: ' ' }, {}] },
      ['setup_tasks[0].type', 'setup_tasks[1].command', 'setup_tasks[2].command', 'setup_tasks[2].command'],
    ],
    [
      { name: 'mine', setup_tasks: [null] },
      ['setup_tasks[0]', 'setup_tasks[0].command', 'setup_tasks[0].command'],
    ],
  ];
  for (const [value, fields] of cases) {
    it(`names ${fields.join(', ')} of ${JSON.stringify(value).slice(0, 80)}`, () => {
      expect(badFields(value)).to.deep.equal(fields);
    });
  }
});
