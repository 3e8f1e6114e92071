import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { AgentHarness } from '../../support/agent-harness.js';

describe('agent', () => {
  let harness: AgentHarness;

  beforeEach(async () => {
    harness = new AgentHarness();
    await harness.start();
  });
  afterEach(() => harness.close());

  it('introduces itself with its name and secret', () => {
    expect(harness.hub.metadata[0]?.get('x-agent-id')).to.deep.equal(['my-agent']);
    expect(harness.hub.metadata[0]?.get('authorization')).to.deep.equal(['Bearer secret']);
    expect(harness.hub.hellos[0]).to.deep.include({
      agentId: 'my-agent',
      protocol: 1,
      capabilities: ['git'],
    });
  });

  it('reports its health', async () => {
    await harness.hub.until(() => harness.hub.health.length > 0);
    const health = harness.hub.health[0];
    expect(health?.memory?.total).to.be.greaterThan(0);
    expect(health?.disk?.total).to.be.greaterThan(0);
    expect(health).to.include({ runningTasks: 0, platform: process.platform });
  });

  it('runs a command and reports its start, its end and its output', async () => {
    const end = await harness.hub.exec('t1', 'echo out; echo bad >&2; exit 3');
    expect(end).to.include({ state: 'FAILED' });
    expect(end.outcome).to.deep.include({ exitCode: 3, reason: 'EXITED', stdoutBytes: 4, stderrBytes: 4 });
    expect(end.outcome).to.deep.include({ stdoutTail: 'out\n', stderrTail: 'bad\n', killed: false });
    expect(harness.hub.output('t1').toString()).to.equal('out\n');
    expect(harness.hub.output('t1', 'STDERR').toString()).to.equal('bad\n');
    expect(harness.hub.reportsOf('t1').map(({ state }) => state)).to.deep.equal(['RUNNING', 'FAILED']);
  });

  it('reports in the order of its journal, though an end and the start behind it become durable together', async () => {
    const tasks = Array.from({ length: 20 }, (_, n) => `t${n}`);
    for (const task of tasks) harness.hub.assign(task, { type: 'exec', run: { command: ':' } } as never);
    for (const task of tasks) await harness.hub.ended(task);
    const sequences = harness.hub.reports.map(({ sequence }) => sequence);
    expect(sequences).to.deep.equal([...sequences].sort((a, b) => a - b));
  });

  for (const code of [0, 1, 126, 127, 137, 143, 255])
    it(`tells exit code ${code} exactly`, async () => {
      const { outcome } = await harness.hub.exec('t', `exit ${code}`);
      expect(outcome?.exitCode).to.equal(code);
      expect(outcome).not.to.have.property('signal');
    });

  for (const signal of ['SEGV', 'KILL', 'TERM'])
    it(`tells the end by SIG${signal} from an exit code`, async () => {
      const { state, outcome } = await harness.hub.exec('t', `kill -${signal} $$`);
      expect(state).to.equal('FAILED');
      expect(outcome).to.include({ signal: `SIG${signal}`, killed: false });
      expect(outcome).not.to.have.property('exitCode');
    });

  it('runs an argv without a shell', async () => {
    harness.hub.assign('t', { type: 'exec', run: { argv: ['printf', '%s|', '$(id)', 'a b', '*'] } } as never);
    await harness.hub.ended('t');
    expect(harness.hub.output('t').toString()).to.equal('$(id)|a b|*|');
  });

  it('tells a missing program, one that may not run and a missing directory apart', async () => {
    writeFileSync(join(harness.home, 'plain'), 'text', { mode: 0o644 });
    const ends = await Promise.all([
      harness.hub.exec('a', '', { run: { argv: ['no-such-program'] } } as never),
      harness.hub.exec('b', '', { run: { argv: ['./plain'] } } as never),
      harness.hub.exec('c', 'true', { cwd: '/no/such/dir' }),
    ]);
    const told = ends.map(({ state, outcome }) => [state, outcome?.reason, outcome?.exitCode]);
    expect(told).to.deep.equal([
      ['FAILED', 'SPAWN_ENOENT', 127],
      ['FAILED', 'SPAWN_EACCES', 126],
      ['FAILED', 'CWD_NOT_FOUND', undefined],
    ]);
  });

  it('tells when the kernel does not start a command', async () => {
    const end = await harness.hub.exec('t', 'true', { env: { A: 'x'.repeat(131_071) } });
    expect([end.state, end.outcome?.reason]).to.deep.equal(['FAILED', 'SPAWN_FAILED']);
  });

  it('gives a task its environment, its secrets and the home, and nothing on standard input', async () => {
    const more = { env: { A: '1' }, secrets: { B: '2' } };
    const { outcome } = await harness.hub.exec('t', 'echo $A$B; pwd; echo $HOME; cat', more);
    expect(outcome?.stdoutTail).to.equal(`12\n${harness.home}\n${harness.home}\n`);
  });

  it('lets a task open its own output by name', async () => {
    const { outcome } = await harness.hub.exec('t', 'echo out > /dev/stdout; echo bad > /dev/stderr');
    expect(outcome).to.include({ stdoutTail: 'out\n', stderrTail: 'bad\n', exitCode: 0 });
  });

  it('carries every byte, in both streams', async () => {
    const { outcome } = await harness.hub.exec(
      't',
      `"${process.execPath}" -e 'const b = Buffer.from(Array.from({length: 256}, (_, i) => i));
        process.stdout.write(Buffer.concat(Array(512).fill(b))); process.stderr.write(b)'`,
    );
    const all = Buffer.from(Array.from({ length: 256 }, (_, index) => index));
    expect(outcome).to.include({ stdoutBytes: 512 * 256, stderrBytes: 256 });
    expect(harness.hub.output('t').equals(Buffer.concat(Array(512).fill(all)))).to.equal(true);
    expect(harness.hub.output('t', 'STDERR').equals(all)).to.equal(true);
  });

  it('runs the attempts of a lane in order and other lanes beside it', async () => {
    const { hub } = harness;
    hub.assign('slow', {
      type: 'exec',
      run: { command: 'until [ -e go ]; do sleep 0.01; done; echo slow >> order' },
    } as never);
    hub.assign('next', { type: 'exec', run: { command: 'echo next >> order; cat order' } } as never);
    hub.assign('other', { type: 'exec', run: { command: 'echo other >> order; touch go' } } as never, {
      lane: 'b',
    });
    await hub.ended('next');
    expect(hub.output('next').toString()).to.equal('other\nslow\nnext\n');
  });

  it('gives back what stands behind a failure in a lane that stops', async () => {
    const { hub } = harness;
    const fails = { type: 'exec', run: { command: 'sleep 0.2; exit 1' } } as never;
    hub.assign('a', fails, { stopLaneOnFailure: true });
    hub.assign('b', { type: 'exec', run: { command: 'touch ran' } } as never);
    const end = await hub.ended('b');
    expect(end).to.include({ state: 'CANCELLED' });
    expect(end.outcome?.reason).to.equal('LANE_STOPPED');
    expect(end).not.to.have.property('startMs');
  });

  it('answers a redelivered attempt with its recorded state and does not run it again', async () => {
    const { hub } = harness;
    hub.ackReports = false;
    await hub.exec('t', 'echo x >> ran');
    hub.assign('t', { type: 'exec', run: { command: 'echo x >> ran' } } as never);
    await hub.until(() => hub.reportsOf('t').length === 3);
    expect(hub.reportsOf('t')[2]).to.deep.equal(hub.reportsOf('t')[1]);
    const { outcome } = await hub.exec('look', 'cat ran');
    expect(outcome?.stdoutTail).to.equal('x\n');
  });

  it('refuses an assignment that it cannot read, and keeps the session', async () => {
    harness.hub.assign('t', { type: 'git:clone', repo: '--upload-pack=touch x' } as never);
    const end = await harness.hub.ended('t');
    expect(end).to.include({ state: 'FAILED' });
    expect(end.outcome?.reason).to.equal('INVALID_ARGUMENT');
    expect(harness.hub.hellos).to.have.length(1);
  });
});
