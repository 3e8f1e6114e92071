import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { expect } from 'chai';
import type { AttemptReport } from '../../../src/model/agent-protocol.js';
import type { TaskSpec } from '../../../src/model/task.js';
import { AgentHarness } from '../../support/agent-harness.js';

const GIT = {
  GIT_AUTHOR_NAME: 'a',
  GIT_AUTHOR_EMAIL: 'a@b',
  GIT_COMMITTER_NAME: 'a',
  GIT_COMMITTER_EMAIL: 'a@b',
};

describe('agent: executors', () => {
  let harness: AgentHarness;
  let count = 0;

  before(async () => {
    harness = new AgentHarness();
    await harness.start();
  });
  after(() => harness.close());

  function run(spec: Partial<TaskSpec> & Pick<TaskSpec, 'type'>): Promise<AttemptReport> {
    count += 1;
    harness.hub.assign(`t${count}`, spec);
    return harness.hub.ended(`t${count}`);
  }

  const reasonOf = async (spec: Parameters<typeof run>[0]) => (await run(spec)).outcome?.reason;

  describe('script', () => {
    it('gets its arguments as they are, and its environment', async () => {
      const script = 'console.log(JSON.stringify([process.argv.slice(2), process.env.A]))';
      const { outcome } = await run({
        type: 'script',
        script,
        args: ['a b', '$(id)', '--x'],
        env: { A: '1' },
      });
      expect(JSON.parse(outcome?.stdoutTail ?? '')).to.deep.equal([['a b', '$(id)', '--x'], '1']);
    });

    it('fails with the place of a syntax error, and leaves no file', async () => {
      const { state, outcome } = await run({ type: 'script', script: 'let = = 1', args: [] });
      expect([state, outcome?.exitCode]).to.deep.equal(['FAILED', 1]);
      expect(outcome?.stderrTail).to.include('SyntaxError').and.match(/:1\n/);
      expect(readdirSync(join(harness.dir, 'tmp'))).to.deep.equal([]);
    });
  });

  describe('files', () => {
    it('writes with its directories, and reads back', async () => {
      const bytes = Buffer.from([0, 255, 10, 128]);
      const content = bytes.toString('base64');
      const filePath = 'deep/er/file';
      const written = await run({ type: 'file:write', filePath, content, encoding: 'base64' });
      expect(written.outcome?.result).to.include({ filePath, size: 4 });
      expect(readFileSync(join(harness.home, filePath)).equals(bytes)).to.equal(true);
      const read = await run({ type: 'file:read', filePath, encoding: 'base64' });
      expect(read.outcome?.result).to.deep.equal({ filePath, content, encoding: 'base64', size: 4 });
    });

    it('keeps the mode of a file and leaves nothing beside it', async () => {
      const file = join(harness.home, 'tool');
      writeFileSync(file, 'old', { mode: 0o755 });
      await run({ type: 'file:write', filePath: 'tool', content: 'new', encoding: 'utf8' });
      expect(statSync(file).mode & 0o777).to.equal(0o755);
      expect(readdirSync(harness.home).filter((name) => name.startsWith('tool'))).to.deep.equal(['tool']);
    });

    it('reads up to 1 MiB and not a byte more', async () => {
      writeFileSync(join(harness.home, 'big'), Buffer.alloc(1024 * 1024, 'x'));
      const { outcome } = await run({ type: 'file:read', filePath: 'big', encoding: 'base64' });
      expect(outcome?.result?.size).to.equal(1024 * 1024);
      writeFileSync(join(harness.home, 'big'), Buffer.alloc(1024 * 1024 + 1, 'x'));
      expect(await reasonOf({ type: 'file:read', filePath: 'big', encoding: 'utf8' })).to.equal(
        'FILE_TOO_LARGE',
      );
    });

    it('refuses what is not a file, without waiting for it', async () => {
      execFileSync('mkfifo', [join(harness.home, 'pipe')]);
      symlinkSync('/etc/passwd', join(harness.home, 'link'));
      const read = (filePath: string) => reasonOf({ type: 'file:read', filePath, encoding: 'utf8' });
      expect(await read('none')).to.equal('FILE_NOT_FOUND');
      for (const path of ['pipe', 'link', '.', '/dev/zero'])
        expect(await read(path), path).to.equal('NOT_A_FILE');
      const write = { type: 'file:write', filePath: 'pipe', content: '', encoding: 'utf8' } as const;
      expect(await reasonOf(write)).to.equal('NOT_A_FILE');
    });
  });

  describe('git', () => {
    let origin: string;

    before(() => {
      const work = join(harness.dir, 'work');
      origin = join(harness.dir, 'project.git');
      const git = (...args: readonly string[]) =>
        execFileSync('git', [...args], { env: { ...process.env, ...GIT }, stdio: 'pipe' });
      git('init', '-q', '-b', 'main', work);
      writeFileSync(join(work, 'a'), 'one');
      git('-C', work, 'add', 'a');
      git('-C', work, 'commit', '-q', '-m', 'one');
      git('clone', '-q', '--bare', work, origin);
    });

    it('clones, commits, pushes and pulls', async () => {
      const cloned = await run({ type: 'git:clone', repo: origin, destination: 'a' });
      expect(cloned.outcome?.result).to.include({
        repo: origin,
        destination: join(harness.home, 'a'),
        branch: 'main',
      });
      expect(cloned.outcome?.result?.commit).to.match(/^[0-9a-f]{40}$/);
      await run({ type: 'git:clone', repo: origin, destination: 'b', branch: 'main' });
      const command = 'echo two > b && git add b && git commit -q -m two';
      await run({ type: 'exec', run: { command }, cwd: 'a', env: GIT });
      const pushed = await run({ type: 'git:push', repoPath: 'a', remote: 'origin', branch: 'main' });
      expect([pushed.state, pushed.outcome?.result?.remote]).to.deep.equal(['SUCCEEDED', 'origin']);
      const pulled = await run({ type: 'git:pull', repoPath: 'b' });
      expect(pulled.outcome?.result?.commit).to.equal(pushed.outcome?.result?.commit);
      expect(existsSync(join(harness.home, 'b', 'b'))).to.equal(true);
    });

    it('names the directory after the repository', async () => {
      const { outcome } = await run({ type: 'git:clone', repo: `file://${origin}` });
      expect(outcome?.result?.destination).to.equal(join(harness.home, 'project'));
    });

    it('leaves nothing of a clone that failed', async () => {
      const { state, outcome } = await run({
        type: 'git:clone',
        repo: '/no/such',
        destination: 'new/failed',
      });
      expect([state, outcome?.exitCode]).to.deep.equal(['FAILED', 128]);
      expect(readdirSync(join(harness.home, 'new'))).to.deep.equal([]);
    });

    it('does not touch a directory that is not empty', async () => {
      mkdirSync(join(harness.home, 'full'));
      writeFileSync(join(harness.home, 'full', 'x'), '');
      const spec = { type: 'git:clone', repo: origin, destination: 'full' } as const;
      expect(await reasonOf(spec)).to.equal('DESTINATION_EXISTS');
    });

    it('hands credentials to git without showing them, and does not wait for a person', async () => {
      const seen: (string | undefined)[] = [];
      const server = createServer((req, res) => {
        seen.push(req.headers.authorization);
        res.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end();
      });
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      const { port } = server.address() as AddressInfo;
      const repo = `http://me:s3cret@127.0.0.1:${port}/a.git`;
      const { outcome } = await run({ type: 'git:clone', repo, destination: 'secret' });
      server.closeAllConnections();
      server.close();
      expect(outcome?.reason).to.equal('AUTH_REQUIRED');
      expect(seen).to.include(`Basic ${Buffer.from('me:s3cret').toString('base64')}`);
      expect(JSON.stringify(outcome)).not.to.include('s3cret');
    });
  });
});

describe('agent without sudo', () => {
  it('refuses tasks that ask for it', async () => {
    const harness = new AgentHarness();
    await harness.hub.listen();
    await harness.startAgent({}, { allowSudo: false });
    await harness.hub.sessions(1);
    const { state, outcome } = await harness.hub.exec('t', 'true', { sudo: true });
    expect([state, outcome?.reason]).to.deep.equal(['FAILED', 'SUDO_NOT_ALLOWED']);
    await harness.close();
  });
});
