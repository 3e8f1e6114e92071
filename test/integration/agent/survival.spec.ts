import { createHash } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { isRunning, pidsWithMark } from '../../../src/agent/proc-tree.js';
import { isAlive } from '../../../src/base/process.js';
import { AgentProgram, eventually } from '../../support/agent-program.js';

const sha = (data: Buffer | string) => createHash('sha256').update(data).digest('hex');

/** Numbered lines on both streams, little by little. */
const LINES = `i=0; while [ $i -lt 300 ]; do i=$((i+1)); echo "out $i"; echo "err $i" >&2; sleep 0.01; done`;
const numbered = (word: string) => Array.from({ length: 300 }, (_, i) => `${word} ${i + 1}\n`).join('');

const exec = (command: string, more: object = {}) =>
  ({ type: 'exec', run: { command }, ...more }) as unknown as { type: 'exec' };

describe('agent: its tasks outlive it (fault case 104)', function () {
  this.timeout(60_000);
  let program: AgentProgram;

  beforeEach(async () => {
    program = new AgentProgram();
    await program.start();
  });
  afterEach(async () => {
    noteMarks();
    await program.close();
    expect([...marks].flatMap((mark) => pidsWithMark(mark)).filter(isRunning)).to.deep.equal([]);
  });

  /** What processes of the tasks of this test carry. */
  const marks = new Set<string>();
  const noteMarks = () => {
    for (const { journalId } of program.hub.hellos) marks.add(`${journalId}/`);
  };

  async function crash(): Promise<void> {
    noteMarks();
    await program.kill();
  }

  /** A command that notes each of its starts. */
  const counted = (task: string, command: string) => `echo x >> ran-${task}; ${command}`;
  const runs = (task: string) => program.file(`ran-${task}`).length / 2;

  it('loses and doubles no byte of either stream, and runs each task once', async () => {
    const { hub } = program;
    const binary = 'for i in 1 2 3 4 5 6 7 8; do head -c 300000 blob; sleep 0.15; done';
    await hub.exec('blob', 'head -c 300000 /dev/urandom > blob; cat blob');
    hub.assign('lines', exec(counted('lines', LINES)), { lane: 'a' });
    hub.assign('binary', exec(counted('binary', binary)), { lane: 'b' });
    for (const size of [100, 900, 1700]) {
      await hub.until(() => hub.size('lines') > size);
      await crash();
      await program.start();
    }
    const [lines, bytes] = [await hub.ended('lines'), await hub.ended('binary')];
    expect([lines.state, bytes.state]).to.deep.equal(['SUCCEEDED', 'SUCCEEDED']);
    expect(hub.output('lines').toString()).to.equal(numbered('out'));
    expect(hub.output('lines', 'STDERR').toString()).to.equal(numbered('err'));
    const blob = hub.output('blob');
    expect(sha(hub.output('binary'))).to.equal(sha(Buffer.concat(Array(8).fill(blob))));
    expect([runs('lines'), runs('binary')]).to.deep.equal([1, 1]);
    expect(hub.hellos.at(-1)?.attempts.map(({ state }) => state)).to.include('RUNNING');
    expect(hub.troubles.filter(({ kind }) => kind !== 'duplicate')).to.deep.equal([]);
  });

  it('tells the exit code and the signal of what ended while no agent was there', async () => {
    const { hub } = program;
    hub.assign('code', exec('echo up; sleep 0.3; echo last; touch a; exit 7'), { lane: 'a' });
    hub.assign('signal', exec('echo up; sleep 0.3; touch b; kill -SEGV $$'), { lane: 'b' });
    await hub.until(() => hub.size('code') > 0 && hub.size('signal') > 0);
    await crash();
    await eventually(async () => (await exits()) === 2);
    await program.start();
    const [code, signal] = [await hub.ended('code'), await hub.ended('signal')];
    expect(code.outcome).to.include({ exitCode: 7, reason: 'EXITED', stdoutTail: 'up\nlast\n' });
    expect(signal.outcome).to.include({ signal: 'SIGSEGV', reason: 'SIGNALLED' });
    expect(hub.output('code').toString()).to.equal('up\nlast\n');
    const told = hub.hellos.at(-1)?.attempts.map(({ task, state }) => `${task} ${state}`);
    expect(told).to.have.members(['code FAILED', 'signal FAILED']);
  });

  it('takes the end from the disk when the keeper is gone too', async () => {
    const { hub } = program;
    hub.assign('t', exec('echo up; sleep 0.3; exit 9'));
    await hub.until(() => hub.size('t') > 0);
    await crash();
    await eventually(async () => (await exits()) === 1);
    await program.killKeeper();
    await program.start();
    expect((await hub.ended('t')).outcome).to.include({ exitCode: 9 });
  });

  it('does not know what it had written down as started and the keeper never heard of', async () => {
    const { hub } = program;
    hub.assign('runs', exec('echo up; sleep 600'));
    await hub.until(() => hub.size('runs') > 0);
    await crash();
    await program.writeDown({ task: 'never-ran', attempt: 1, state: 'RUNNING', startMs: 1 });
    await program.start();
    expect(hub.hellos.at(-1)?.attempts.map(({ task }) => task)).to.deep.equal(['runs']);
    await crash();
    await program.writeDown({ task: 'unknown', attempt: 1, state: 'RUNNING', startMs: 1 });
    await program.killKeeper();
    await program.start();
    expect((await hub.ended('unknown')).outcome, 'without that keeper').to.include({
      reason: 'AGENT_CRASHED',
    });
  });

  it('keeps the time limit while no agent is there', async () => {
    const { hub } = program;
    hub.assign('t', exec('echo up; sleep 600', { timeoutMs: 600 }));
    await hub.until(() => hub.size('t') > 0);
    await crash();
    await eventually(async () => (await exits()) === 1);
    await program.start();
    const end = await hub.ended('t');
    expect([end.state, end.outcome?.killed]).to.deep.equal(['TIMED_OUT', true]);
    expect((end.endMs ?? 0) - (end.startMs ?? 0)).to.be.within(550, 5000);
  });

  it('cancels what it took over', async () => {
    const { hub } = program;
    hub.assign('t', exec('echo up; sleep 600'));
    await hub.until(() => hub.size('t') > 0);
    await crash();
    await program.start();
    hub.send({ type: 'cancel', task: 't', attempt: 1, force: false });
    expect((await hub.ended('t')).outcome).to.include({ reason: 'CANCELLED', signal: 'SIGTERM' });
  });

  it('keeps the order of a lane, and starts a redelivered attempt once', async () => {
    const { hub } = program;
    const first = exec(counted('first', 'echo up; until [ -e go ]; do sleep 0.02; done; echo one >> order'));
    const second = exec(counted('second', 'echo two >> order'));
    hub.assign('first', first);
    hub.assign('second', second);
    await hub.until(() => hub.size('first') > 0);
    await crash();
    await program.start();
    hub.assign('first', first);
    hub.assign('second', second);
    hub.assign('go', exec('touch go'), { lane: 'other' });
    await hub.ended('second');
    expect(program.file('order')).to.equal('one\ntwo\n');
    expect([runs('first'), runs('second')]).to.deep.equal([1, 1]);
  });

  it('goes on with what consists of several steps', async () => {
    const { hub } = program;
    await hub.exec(
      'repo',
      'git init -q -b main r && cd r && git -c user.name=a -c user.email=a@b commit -q --allow-empty -m x',
    );
    const slow = '#!/bin/sh\necho x >> ../ran-hook; touch ../in-hook; sleep 0.5\n';
    await hub.exec(
      'hooks',
      `mkdir tpl tpl/hooks; printf '${slow}' > tpl/hooks/post-checkout; chmod +x tpl/hooks/*`,
    );
    const env = { GIT_TEMPLATE_DIR: `${program.home}/tpl` };
    const clone = { type: 'git:clone', repo: `${program.home}/r`, destination: 'copy', env };
    hub.assign('clone', clone as never);
    await eventually(() => program.file('ran-hook') !== '' || program.file('copy/.git/HEAD') !== '');
    await crash();
    await program.start();
    const end = await hub.ended('clone');
    expect(end.state).to.equal('SUCCEEDED');
    expect(end.outcome?.result).to.include({ branch: 'main', destination: `${program.home}/copy` });
  });

  it('goes away at SIGHUP without ending anything', async () => {
    const { hub } = program;
    hub.assign('t', exec(counted('t', LINES)));
    await hub.until(() => hub.size('t') > 0);
    expect(await program.end('SIGHUP')).to.deep.equal([75, null]);
    await program.start();
    expect((await hub.ended('t')).state).to.equal('SUCCEEDED');
    expect(hub.output('t').toString()).to.equal(numbered('out'));
    expect(runs('t')).to.equal(1);
  });

  it('ends as LOST what ran when the keeper dies, kills it, and goes on with a new keeper', async () => {
    const { hub } = program;
    hub.assign('t', exec(`${counted('t', 'echo up; sleep 600 & setsid sleep 600 & wait')}`));
    hub.assign('next', exec('echo next'));
    await hub.until(() => hub.size('t') > 0);
    for (const { journalId } of hub.hellos) marks.add(`${journalId}/`);
    await program.killKeeper();
    const end = await hub.ended('t');
    expect([end.state, end.outcome?.reason]).to.deep.equal(['LOST', 'AGENT_CRASHED']);
    expect(end.outcome).to.include({ stdoutTail: 'up\n', stdoutBytes: 3 });
    expect([...marks].flatMap((mark) => pidsWithMark(`${mark}t~`))).to.deep.equal([]);
    expect((await hub.ended('next')).state).to.equal('SUCCEEDED');
    expect(runs('t')).to.equal(1);
  });

  it('ends as LOST what ran when both die', async () => {
    const { hub } = program;
    hub.assign('t', exec(counted('t', 'echo up; sleep 600')));
    await hub.until(() => hub.size('t') > 0);
    await crash();
    await program.killKeeper();
    await program.start();
    expect((await hub.ended('t')).outcome).to.include({ reason: 'AGENT_CRASHED', stdoutBytes: 3 });
    expect([...marks].flatMap((mark) => pidsWithMark(mark))).to.deep.equal([]);
    expect(runs('t')).to.equal(1);
  });

  it('survives twenty crashes in a row', async () => {
    const { hub } = program;
    const command = 'i=0; until [ -e stop ]; do i=$((i+1)); echo "line $i"; sleep 0.005; done; exit 3';
    hub.assign('t', exec(counted('t', command)));
    for (let n = 0; n < 20; n += 1) {
      const size = hub.size('t');
      await hub.until(() => hub.size('t') > size);
      await crash();
      await program.start();
    }
    hub.assign('stop', exec('touch stop'), { lane: 'other' });
    const end = await hub.ended('t');
    expect(end.outcome).to.include({ exitCode: 3, reason: 'EXITED' });
    const lines = hub.output('t').toString().trimEnd().split('\n');
    expect(lines).to.deep.equal(lines.map((_, i) => `line ${i + 1}`));
    expect(runs('t')).to.equal(1);
  });

  it('keeps a second agent away, and ends its keeper when it is stopped', async () => {
    const { hub } = program;
    await hub.exec('t', 'true');
    const keeper = await program.keeperPid();
    expect(keeper).to.be.a('number');
    expect(await program.startSecond()).to.deep.equal([1, null]);
    expect(await program.keeperPid()).to.equal(keeper);
    expect(await program.end('SIGTERM')).to.deep.equal([0, null]);
    const deadline = Date.now() + 10_000;
    while (isAlive(keeper ?? 0) && Date.now() < deadline) await sleep(20);
    expect(isAlive(keeper ?? 0)).to.equal(false);
  });

  /** How many ends of attempts the keeper has written. */
  async function exits(): Promise<number> {
    const names = await readdir(`${program.dir}/state/spool`, { recursive: true });
    return names.filter((name) => name.endsWith('/exit')).length;
  }
});
