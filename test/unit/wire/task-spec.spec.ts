import { expect } from 'chai';
import { TaskSpec as Proto } from '../../../gen/vmagent/v1/task.js';
import { HubError } from '../../../src/model/hub-error.js';
import { TASK_TYPES } from '../../../src/model/task.js';
import { taskSpecFromProto, taskSpecToProto } from '../../../src/wire/task.js';

type Fields = Parameters<typeof Proto.fromPartial>[0];

const read = (fields: Fields) => taskSpecFromProto(Proto.fromPartial(fields));

function badFields(fields: Fields): string[] {
  try {
    read(fields);
  } catch (err) {
    if (err instanceof HubError) return err.fields.map(({ field }) => field);
    throw err;
  }
  return [];
}

const VALID: readonly Fields[] = [
  { type: 'exec', command: 'echo hi', cwd: '/opt', env: { A: '1' }, timeout: 5, sudo: true },
  { type: 'exec', argv: ['printf', '%s', ''] },
  { type: 'deploy', command: './deploy' },
  { type: 'script', script: 'console.log(1)', args: ['', '-x'] },
  { type: 'git:clone', repo: 'https://example.com/r.git', destination: 'r', branch: 'feature/x-1' },
  { type: 'git:pull', repoPath: '/opt/r' },
  { type: 'git:push', repoPath: '/opt/r', remote: 'up', branch: 'main' },
  { type: 'file:read', filePath: 'a', encoding: 'base64' },
  { type: 'file:write', filePath: 'a', content: 'AA==', encoding: 'base64', secrets: { TOKEN: 's' } },
  { type: 'file:write', filePath: 'a', content: '', encoding: 'utf8' },
];

describe('taskSpecFromProto', () => {
  for (const fields of VALID)
    it(`comes back the same: ${JSON.stringify(fields)}`, () => {
      const message = Proto.fromPartial({ timeout: 1_800_000, ...fields });
      const there = taskSpecToProto(taskSpecFromProto(message));
      expect(Proto.decode(Proto.encode(there).finish())).to.deep.equal(message);
    });

  it('fills in the documented defaults', () => {
    expect(read({ type: 'build' })).to.deep.include({
      run: { command: 'npm run build' },
      timeoutMs: 1_800_000,
    });
    expect(read({ type: 'test', command: ' ' })).to.deep.include({ run: { command: 'npm test' } });
    expect(read({ type: 'git:push' })).to.include({ remote: 'origin', branch: 'main' });
    expect(read({ type: 'file:read', filePath: 'f' })).to.include({ encoding: 'utf8' });
    expect(read({ type: 'git:clone', repo: 'r' })).to.not.have.any.keys('destination', 'branch', 'cwd');
  });

  it('names all types when the type is unknown, and all other bad fields too', () => {
    expect(badFields({ type: 'exce', timeout: -1, cwd: 'a\0' })).to.deep.equal(['type', 'cwd', 'timeout']);
    expect(() => read({ type: '' })).to.throw(HubError, TASK_TYPES.join(', '));
  });

  const kib128 = 'x'.repeat(131_072);
  const bad: readonly [string, Fields, string[]][] = [
    ['no command', { type: 'exec' }, ['command']],
    ['no command for deploy', { type: 'deploy', command: '\n' }, ['command']],
    ['command and argv', { type: 'exec', command: 'a', argv: ['b'] }, ['argv']],
    ['a long command', { type: 'exec', command: `${kib128}x` }, ['command']],
    ['a long command in bytes', { type: 'exec', command: 'é'.repeat(65_537) }, ['command']],
    ['NUL in a command', { type: 'exec', command: 'a\0b' }, ['command']],
    ['an empty program', { type: 'exec', argv: ['', 'a'] }, ['argv']],
    ['too many arguments', { type: 'exec', argv: Array(10_001).fill('').fill('a', 0, 1) }, ['argv']],
    ['long arguments', { type: 'exec', argv: ['a', kib128] }, ['argv']],
    ['NUL in an argument', { type: 'exec', argv: ['a', '\0'] }, ['argv']],
    ['a long cwd', { type: 'exec', command: 'a', cwd: 'x'.repeat(4097) }, ['cwd']],
    ['"=" in a variable', { type: 'exec', command: 'a', env: { 'A=B': '' } }, ['env']],
    ['an empty variable', { type: 'exec', command: 'a', env: { '': 'x' } }, ['env']],
    ['NUL in a secret', { type: 'exec', command: 'a', secrets: { A: '\0' } }, ['secrets']],
    ['long variables', { type: 'exec', command: 'a', env: { A: kib128 } }, ['env']],
    ['many variables', { type: 'exec', command: 'a', env: many(1001) }, ['env']],
    ['a negative time-out', { type: 'exec', command: 'a', timeout: -1 }, ['timeout']],
    ['no script', { type: 'script', args: ['\0'] }, ['script', 'args']],
    ['a long script', { type: 'script', script: 'x'.repeat(1_048_577) }, ['script']],
    ['no repository', { type: 'git:clone' }, ['repo']],
    ['options for git', { type: 'git:clone', repo: '--upload-pack=x', branch: '-b' }, ['repo', 'branch']],
    ['an option as target', { type: 'git:clone', repo: 'r', destination: '--bare' }, ['destination']],
    ['an option as remote', { type: 'git:push', remote: '--exec=x', branch: 'a..b' }, ['remote', 'branch']],
    ['a long path', { type: 'git:pull', repoPath: 'x'.repeat(4097) }, ['repoPath']],
    ['no file', { type: 'file:read', encoding: 'latin1' }, ['filePath', 'encoding']],
    ['bad base64', { type: 'file:write', filePath: 'a', content: 'x', encoding: 'base64' }, ['content']],
    ['long content', { type: 'file:write', filePath: 'a', content: 'x'.repeat(2_097_153) }, ['content']],
  ];
  for (const [name, fields, expected] of bad)
    it(`refuses ${name}`, () => {
      expect(badFields(fields)).to.deep.equal(expected);
    });

  for (const branch of [
    'a b',
    'a~1',
    'a^',
    'a:b',
    'a?',
    'a*',
    'a[',
    'a\\b',
    '/a',
    'a/',
    'a//b',
    '.a',
    'a.lock',
    'a.',
    '@',
    'a@{b',
  ])
    it(`refuses the branch ${JSON.stringify(branch)}`, () => {
      expect(badFields({ type: 'git:push', branch })).to.deep.equal(['branch']);
    });

  it('takes everything at its limit', () => {
    expect(
      badFields({ type: 'exec', command: kib128, cwd: 'x'.repeat(4096), env: many(1000) }),
    ).to.deep.equal([]);
    expect(badFields({ type: 'exec', argv: Array(10_000).fill('a'), timeout: 2_147_483_647 })).to.deep.equal(
      [],
    );
    expect(badFields({ type: 'file:write', filePath: 'a', content: 'x'.repeat(2_097_152) })).to.deep.equal(
      [],
    );
  });
});

describe('taskSpecToProto', () => {
  it('empties the values of secrets for callers', () => {
    const spec = read({ type: 'exec', command: 'a', env: { A: '1' }, secrets: { TOKEN: 'geheim' } });
    expect(taskSpecToProto(spec).secrets).to.deep.equal({ TOKEN: 'geheim' });
    const shown = taskSpecToProto(spec, { redactSecrets: true });
    expect(shown).to.deep.include({ secrets: { TOKEN: '' }, env: { A: '1' } });
  });
});

function many(count: number): Record<string, string> {
  return Object.fromEntries(Array.from({ length: count }, (_, i) => [`V${i}`, '']));
}
