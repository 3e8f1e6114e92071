import { execFileSync } from 'node:child_process';
import { chownSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { findTaskUser, type TaskUser } from '../../../src/agent/task-user.js';
import type { AttemptReport } from '../../../src/model/agent-protocol.js';
import type { TaskSpec } from '../../../src/model/task.js';
import { AgentHarness } from '../../support/agent-harness.js';

const NOBODY = findTaskUser('nobody');
const missing = process.getuid?.() !== 0 ? 'only root can run tasks as another user' : undefined;
if (missing !== undefined) console.log(`SKIPPED: tasks of another user (${missing})`);

describe('agent: tasks of another user', () => {
  let harness: AgentHarness;
  let user: TaskUser;

  beforeEach(async function () {
    if (missing !== undefined || NOBODY === undefined) return this.skip();
    harness = new AgentHarness();
    user = { ...NOBODY, home: harness.home, shell: '/bin/sh' };
    chownSync(harness.home, user.uid, user.gid);
    await harness.start({ user, uid: user.uid, baseEnv: {} });
  });
  afterEach(() => harness?.close());

  function run(id: string, spec: object): Promise<AttemptReport> {
    harness.hub.assign(id, spec as TaskSpec);
    return harness.hub.ended(id);
  }

  it('are of that user, with its groups, its home and the environment of a login', async () => {
    const { outcome } = await harness.hub.exec(
      't',
      'id -u; id -g; echo $HOME $USER $LOGNAME; pwd; echo $PATH',
    );
    const [uid, gid, names, cwd, path] = (outcome?.stdoutTail ?? '').split('\n');
    expect([uid, gid]).to.deep.equal([String(user.uid), String(user.gid)]);
    expect(names).to.equal(`${harness.home} nobody nobody`);
    expect(cwd).to.equal(harness.home);
    expect(path).to.match(/^.*\/\.local\/bin:.*\/usr\/bin/);
  });

  it('open their own output by name', async () => {
    const { outcome } = await harness.hub.exec('t', 'echo out > /dev/stdout; echo err > /dev/stderr');
    expect(outcome).to.include({ stdoutTail: 'out\n', stderrTail: 'err\n' });
  });

  it('cannot read the state of the agent, nor a secret of it (fault case 85)', async () => {
    const { dir } = harness;
    writeFileSync(join(dir, 'secret'), 'x', { mode: 0o600 });
    for (const path of ['journal', 'lock', 'secret', 'keeper.lock']) {
      const { outcome } = await harness.hub.exec(`cat-${path}`, `cat ${join(dir, path)}`);
      expect(outcome, path).to.include({ exitCode: 1, stdoutTail: '' });
    }
    for (const path of ['', 'spool', 'tmp', 'pipes']) {
      const { outcome } = await harness.hub.exec(`ls-${path}`, `ls ${join(dir, path)}`);
      expect(outcome, path).to.include({ exitCode: 2, stdoutTail: '' });
    }
    for (const name of readdirSync(dir))
      expect(statSync(join(dir, name)).mode & 0o066, `${name} is private`).to.equal(0);
    const read = await run('read', { type: 'file:read', filePath: join(dir, 'secret'), encoding: 'utf8' });
    expect(read.outcome?.reason).to.equal('FILE_NOT_ALLOWED');
  });

  it('write files that belong to the user, whole or not at all', async () => {
    const write = { type: 'file:write', filePath: 'a/b.bin', content: 'AAH/', encoding: 'base64' };
    expect((await run('w', write)).state).to.equal('SUCCEEDED');
    const file = join(harness.home, 'a', 'b.bin');
    expect([...readFileSync(file)]).to.deep.equal([0, 1, 255]);
    expect(statSync(file).uid).to.equal(user.uid);
    const back = await run('r', { type: 'file:read', filePath: 'a/b.bin', encoding: 'base64' });
    expect(back.outcome?.result).to.include({ content: 'AAH/', size: 3 });
    execFileSync('chmod', ['640', file]);
    expect((await run('again', { ...write, content: 'AA==' })).state).to.equal('SUCCEEDED');
    expect(statSync(file).mode & 0o777).to.equal(0o640);
    expect(readdirSync(join(harness.home, 'a'))).to.deep.equal(['b.bin']);
  });

  it('get the same answers about files that they cannot have as an agent of one user gives', async () => {
    mkdirSync(join(harness.home, 'dir'));
    execFileSync('mkfifo', [join(harness.home, 'fifo')]);
    execFileSync('ln', ['-s', '/etc/passwd', join(harness.home, 'link')]);
    writeFileSync(join(harness.home, 'big'), Buffer.alloc(1024 * 1024 + 1));
    const cases = [
      ['none', 'FILE_NOT_FOUND'],
      ['big/x', 'FILE_NOT_FOUND'],
      ['dir', 'NOT_A_FILE'],
      ['fifo', 'NOT_A_FILE'],
      ['/dev/zero', 'NOT_A_FILE'],
      ['link', 'NOT_A_FILE'],
      ['/etc/shadow', 'FILE_NOT_ALLOWED'],
      ['big', 'FILE_TOO_LARGE'],
    ] as const;
    for (const [index, [filePath, reason]] of cases.entries()) {
      const end = await run(`read-${index}`, { type: 'file:read', filePath, encoding: 'base64' });
      expect(end.outcome?.reason, filePath).to.equal(reason);
    }
    const refused = [
      ['/etc/vm-agent-test', 'FILE_NOT_ALLOWED'],
      ['dir', 'NOT_A_FILE'],
      [`${'x'.repeat(300)}`, 'INVALID_ARGUMENT'],
    ] as const;
    for (const [index, [filePath, reason]] of refused.entries()) {
      const end = await run(`write-${index}`, {
        type: 'file:write',
        filePath,
        content: 'x',
        encoding: 'utf8',
      });
      expect(end.outcome?.reason, filePath).to.equal(reason);
    }
  });

  it('run scripts, and git with the rights of the user', async () => {
    const script = { type: 'script', script: 'console.log(process.getuid())', args: [] };
    expect((await run('s', script)).outcome?.stdoutTail).to.equal(`${user.uid}\n`);
    const make =
      'git init -q src && cd src && git -c user.name=a -c user.email=a@b commit -q --allow-empty -m x';
    expect((await harness.hub.exec('make', make)).state).to.equal('SUCCEEDED');
    const clone = { type: 'git:clone', repo: join(harness.home, 'src'), destination: 'deep/copy' };
    const end = await run('clone', clone);
    expect(end.outcome?.result)
      .to.have.property('commit')
      .that.matches(/^[0-9a-f]{40}$/);
    expect(statSync(join(harness.home, 'deep')).uid).to.equal(user.uid);
    expect(statSync(join(harness.home, 'deep', 'copy', '.git')).uid).to.equal(user.uid);
    const elsewhere = await run('elsewhere', { ...clone, destination: '/etc/vm-agent/copy' });
    expect(elsewhere.outcome?.reason).to.equal('FILE_NOT_ALLOWED');
  });

  it("have shells whose terminal is the user's own", async () => {
    const argv = ['sh', '-c', 'id -u; echo $HOME; test -w "$(tty)" && echo mine; exit 7'];
    const open = { argv, size: { columns: 80, rows: 24 }, term: 'xterm' };
    harness.hub.send({ type: 'openShell', shell: 's', open });
    await harness.hub.until(() => harness.hub.shells.get('s')?.text().includes('mine') === true);
    expect(harness.hub.shells.get('s')?.text()).to.include(`${user.uid}\r\n${harness.home}`);
  });

  it('are ended whole, and are no less likely to be killed for memory than other programs', async () => {
    const { outcome } = await harness.hub.exec('score', 'cat /proc/self/oom_score_adj');
    expect(Number(outcome?.stdoutTail)).to.be.greaterThanOrEqual(0);
    harness.hub.assign('long', { type: 'exec', run: { command: 'setsid sleep 987 & sleep 988' } } as never);
    await harness.hub.until(() => harness.hub.reportsOf('long').some(({ state }) => state === 'RUNNING'));
    harness.hub.send({ type: 'cancel', task: 'long', attempt: 1, force: true });
    await harness.hub.until(() =>
      harness.hub.reportsOf('long').some(({ outcome: end }) => end !== undefined),
    );
    expect(execFileSync('ps', ['-eo', 'args'], { encoding: 'utf8' })).to.not.match(/^sleep 98[78]$/m);
  });
});
