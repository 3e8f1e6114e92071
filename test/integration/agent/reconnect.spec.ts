import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { status } from '@grpc/grpc-js';
import { expect } from 'chai';
import { RUN_MARK } from '../../../src/agent/proc-tree.js';
import type { TaskSpec } from '../../../src/model/task.js';
import { AgentHarness } from '../../support/agent-harness.js';

const MIB = 1024 * 1024;
/** Writes numbered lines of so many bytes in all, so that a lost or doubled byte shows. */
const numbered = (bytes: number) => `seq 1 100000000 | head -c ${bytes}`;

function numbers(bytes: number): string {
  const hash = createHash('sha256');
  let [length, text] = [0, ''];
  for (let line = 1; length < bytes; line += 1) {
    text = `${line}\n`.slice(0, bytes - length);
    length += text.length;
    hash.update(text);
  }
  return hash.digest('hex');
}

const sha = (data: Buffer) => createHash('sha256').update(data).digest('hex');

describe('agent: connection', () => {
  let harness: AgentHarness;

  beforeEach(() => {
    harness = new AgentHarness();
  });
  afterEach(() => harness.close());

  it('loses and doubles no byte when the output stream breaks', async () => {
    await harness.start();
    harness.hub.breakOutputAfter = 2 * MIB;
    const end = await harness.hub.exec('t', numbered(6 * MIB));
    expect(end.outcome?.stdoutBytes).to.equal(6 * MIB);
    expect(sha(harness.hub.output('t'))).to.equal(numbers(6 * MIB));
    expect(harness.hub.breakOutputAfter).to.equal(Number.POSITIVE_INFINITY);
  });

  it('loses and doubles no byte when the hub goes away and comes back', async () => {
    await harness.start();
    const { hub } = harness;
    hub.assign('t', { type: 'exec', run: { command: numbered(8 * MIB) } } as never);
    await hub.until(() => hub.size('t') > MIB);
    hub.stop();
    await hub.listen();
    await hub.sessions(2);
    await hub.ended('t');
    expect(sha(hub.output('t'))).to.equal(numbers(8 * MIB));
  });

  it('goes on working while the hub is away and tells it later', async () => {
    await harness.start();
    const { hub } = harness;
    hub.assign('t', {
      type: 'exec',
      run: { command: 'echo up; until [ -e go ]; do sleep 0.01; done; echo late' },
    } as never);
    await hub.until(() => hub.size('t') > 0);
    hub.stop();
    const done = spawn('sh', ['-c', `touch ${harness.home}/go`]);
    await once(done, 'exit');
    await hub.listen();
    const end = await hub.ended('t');
    expect(end.outcome?.stdoutTail).to.equal('up\nlate\n');
    expect(hub.output('t').toString()).to.equal('up\nlate\n');
  });

  it('sends again from where the hub wants a stream', async () => {
    await harness.start();
    const { hub } = harness;
    hub.ackOutput = false;
    hub.assign('t', { type: 'exec', run: { command: numbered(100_000) } } as never);
    await hub.until(() => hub.size('t') === 100_000);
    hub.forgetBehind('t', 'STDOUT', 50_000);
    await hub.until(() => hub.size('t') === 100_000);
    expect(sha(hub.output('t'))).to.equal(numbers(100_000));
    hub.ackStored();
    hub.ackOutput = true;
  });

  it('never sends more than the window without an acknowledgement', async () => {
    const { hub } = harness;
    hub.welcome = { outputWindowBytes: 200_000 };
    hub.ackOutput = false;
    await harness.start();
    hub.assign('t', { type: 'exec', run: { command: numbered(2 * MIB) } } as never);
    await hub.state('t', 'SUCCEEDED');
    await hub.until(() => hub.size('t') >= 200_000);
    await sleep(100);
    expect(hub.size('t')).to.be.within(200_000, 200_000 + 65_536);
    hub.ackOutput = true;
    hub.ackStored();
    await hub.ended('t');
    expect(sha(hub.output('t'))).to.equal(numbers(2 * MIB));
  });

  it('blocks a task whose output does not fit, and loses nothing', async () => {
    const { hub } = harness;
    hub.welcome = { outputWindowBytes: 2 * MIB };
    hub.ackOutput = false;
    await hub.listen();
    await harness.startAgent({ spoolLimits: { maxBytes: MIB, segmentBytes: MIB / 4 } });
    await hub.sessions(1);
    const command = `${numbered(4 * MIB)}; touch through`;
    hub.assign('t', { type: 'exec', run: { command } } as never);
    await hub.until(() => hub.size('t') >= MIB);
    hub.assign('look', { type: 'exec', run: { command: 'test -e through' } } as never, { lane: 'b' });
    await hub.state('look', 'FAILED');
    hub.ackOutput = true;
    hub.ackStored();
    await hub.ended('t');
    expect(sha(hub.output('t'))).to.equal(numbers(4 * MIB));
  });

  it('reports again what was not acknowledged', async () => {
    await harness.start();
    const { hub } = harness;
    hub.ackReports = false;
    const end = await hub.exec('t', 'true');
    hub.breakSession();
    await hub.until(() => hub.reportsOf('t').length === 4);
    hub.ackReports = true;
    hub.send({ type: 'ack', sequence: end.sequence });
    expect(hub.hellos[1]?.attempts).to.deep.equal([end]);
    expect(hub.reportsOf('t')[3]).to.deep.equal(end);
  });

  it('says in Hello what it runs and what waits', async () => {
    await harness.start();
    const { hub } = harness;
    hub.assign('a', { type: 'exec', run: { command: 'echo up; sleep 600' } } as never);
    hub.assign('b', { type: 'exec', run: { command: 'true' } } as never);
    await hub.until(() => hub.size('a') > 0);
    hub.breakSession();
    await hub.sessions(2);
    const told = hub.hellos[1]?.attempts.map(({ task, state }) => `${task} ${state}`);
    expect(told).to.deep.equal(['a RUNNING', 'b DISPATCHED']);
    expect(hub.hellos[1]?.incarnation).to.equal(hub.hellos[0]?.incarnation);
    expect(hub.hellos.map((hello) => hello.lastSessionGeneration)).to.deep.equal([0, 1]);
  });

  it('says in Hello also what is not in the journal yet: a start, and a task given back', async () => {
    await harness.hub.listen();
    const agent = await harness.startAgent();
    const spec = {
      type: 'exec',
      run: { command: 'true' },
      env: {},
      secrets: {},
      timeoutMs: 9000,
      sudo: false,
    };
    const rest = { attempt: 1, lane: 'default', spec: spec as TaskSpec, stopLaneOnFailure: false };
    for (const task of ['a', 'b']) agent.received({ type: 'assignment', assignment: { task, ...rest } });
    agent.received({ type: 'cancel', task: 'b', attempt: 1, force: false });
    const told = agent.hello().attempts.map(({ task, state }) => `${task} ${state}`);
    expect(told).to.deep.equal(['a DISPATCHED', 'b DISPATCHED']);
  });

  it('comes back when a newer session took over', async () => {
    await harness.start();
    harness.hub.breakSession({ code: status.ABORTED, details: 'a newer session is there' });
    await harness.hub.sessions(2);
  });

  it('is not stopped by a refusal', async () => {
    const { hub } = harness;
    hub.refuse = { code: status.UNAUTHENTICATED, details: 'unknown' };
    await hub.listen();
    await harness.startAgent();
    await hub.until(() => hub.metadata.length === 1);
    hub.refuse = undefined;
    await hub.sessions(1);
  });

  it('comes back when the hub drains it, after the time that the hub says', async () => {
    await harness.start();
    harness.hub.send({ type: 'drain', reconnectAfterMs: 50 });
    await harness.hub.sessions(2);
    expect((await harness.hub.exec('t', 'true')).state).to.equal('SUCCEEDED');
  });

  it('ends as LOST after a crash what it had started, kills what is left and keeps its output', async () => {
    const { hub } = harness;
    hub.ackOutput = false;
    await harness.start();
    await harness.crashWith({ task: 'a', attempt: 1 }, 'before the crash');
    const left = spawn('sleep', ['600'], { env: { ...process.env, [RUN_MARK]: harness.markOf('a') } });
    const gone = once(left, 'exit');
    hub.ackOutput = true;
    await harness.startAgent();
    const [, signal] = await gone;
    expect(signal).to.equal('SIGKILL');
    const end = await hub.ended('a');
    expect(end.state).to.equal('LOST');
    expect(end.outcome).to.include({
      reason: 'AGENT_CRASHED',
      stdoutBytes: 16,
      stdoutTail: 'before the crash',
    });
    expect(hub.output('a').toString()).to.equal('before the crash');
  });

  it('keeps a second agent away from its state directory', async () => {
    await harness.start();
    const error = await harness.startAgent().catch((err: unknown) => err);
    expect(String(error)).to.include('another agent');
  });
});
