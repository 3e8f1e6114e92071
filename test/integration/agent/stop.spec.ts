import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { PROCESS_GROUP } from '../../../src/agent/kill-scope.js';
import { AgentHarness, bestScope } from '../../support/agent-harness.js';

/** A grandchild that left its session, ignores SIGTERM and holds no output open. */
const strayBash = (mark: string) =>
  `(setsid bash -c 'trap "" TERM; exec -a ${mark} sleep 600' </dev/null >/dev/null 2>&1 &); until grep -qa ^${mark} /proc/[0-9]*/cmdline; do sleep 0.01; done`;

/** Whether a process with this word in its command line is there, zombies not counted. */
function isThere(mark: string): boolean {
  return readdirSync('/proc').some((name) => {
    try {
      return /^\d+$/.test(name) && readFileSync(`/proc/${name}/cmdline`, 'latin1').startsWith(mark);
    } catch {
      return false;
    }
  });
}

describe('agent: ending tasks', () => {
  for (const name of ['best', 'process_group'] as const)
    describe(`with the ${name} kill scope`, () => {
      let harness: AgentHarness;

      beforeEach(async () => {
        harness = new AgentHarness();
        await harness.start({ scope: name === 'best' ? await bestScope() : PROCESS_GROUP });
      });
      afterEach(() => harness.close());

      it('ends a task at its time limit with all that it started, and keeps its output', async () => {
        const mark = `stray-${name}-timeout-${process.pid}`;
        const command = `${strayBash(mark)}; echo partial; exec sleep 600`;
        const end = await harness.hub.exec('t', command, { timeoutMs: 1500 });
        expect(end.state).to.equal('TIMED_OUT');
        expect(end.outcome).to.include({ reason: 'TIMEOUT', killed: true, stdoutTail: 'partial\n' });
        expect((end.endMs ?? 0) - (end.startMs ?? 0)).to.be.within(1400, 6000);
        expect(isThere(mark)).to.equal(false);
      });

      it('ends a cancelled task with all that it started', async () => {
        const mark = `stray-${name}-cancel-${process.pid}`;
        harness.hub.assign('t', {
          type: 'exec',
          run: { command: `${strayBash(mark)}; echo up; sleep 600` },
        } as never);
        await harness.hub.until(() => harness.hub.size('t') > 0);
        expect(isThere(mark)).to.equal(true);
        harness.hub.send({ type: 'cancel', task: 't', attempt: 1, force: false });
        const end = await harness.hub.ended('t');
        expect(end.state).to.equal('CANCELLED');
        expect(end.outcome).to.include({ reason: 'CANCELLED', killed: true, signal: 'SIGTERM' });
        expect(isThere(mark)).to.equal(false);
      });

      it('leaves nothing behind when a task ends by itself', async () => {
        const mark = `stray-${name}-end-${process.pid}`;
        const end = await harness.hub.exec('t', `${strayBash(mark)}; exit 4`);
        expect(end.outcome).to.include({ exitCode: 4, killed: false });
        expect(isThere(mark)).to.equal(false);
      });

      it('lets a task clean up at SIGTERM', async () => {
        const command = 'trap "echo cleaned; exit 7" TERM; echo up; sleep 600 & wait';
        harness.hub.assign('t', { type: 'exec', run: { command } } as never);
        await harness.hub.until(() => harness.hub.size('t') > 0);
        harness.hub.send({ type: 'cancel', task: 't', attempt: 1, force: false });
        const end = await harness.hub.ended('t');
        expect(end.outcome).to.include({ exitCode: 7, stdoutTail: 'up\ncleaned\n' });
      });

      it('kills at once when forced', async () => {
        harness.hub.assign('t', {
          type: 'exec',
          run: { command: 'trap "" TERM; echo up; sleep 600 & wait; wait' },
        } as never);
        await harness.hub.until(() => harness.hub.size('t') > 0);
        harness.hub.send({ type: 'cancel', task: 't', attempt: 1, force: true });
        expect((await harness.hub.ended('t')).outcome).to.include({ signal: 'SIGKILL', killed: true });
      });

      it('ends at the exit, not when a background process closes the output', async () => {
        const end = await harness.hub.exec('t', 'sleep 600 & echo done');
        expect(end.outcome).to.include({ exitCode: 0, stdoutTail: 'done\n' });
        expect((end.endMs ?? 0) - (end.startMs ?? 0)).to.be.lessThan(5000);
      });

      it('freezes a task for a snapshot, and lets it go on to its end', async () => {
        const { hub, home } = harness;
        const command = 'echo up; until [ -e go ]; do sleep 0.01; done; exit 3';
        hub.assign('t', { type: 'exec', run: { command } } as never);
        await hub.until(() => hub.size('t') > 0);
        // Often, so that it also meets a child between its vfork() and its exec.
        for (let n = 0; n < 40; n += 1) {
          const barrier = `b${n}`;
          hub.send({ type: 'prepare', barrier });
          await hub.until(() => hub.frames.some((f) => f.type === 'prepared' && f.barrier === barrier));
          await sleep(3);
          hub.send({ type: 'resume', barrier });
        }
        writeFileSync(join(home, 'go'), '');
        expect(await Promise.race([hub.ended('t'), sleep(5000)])).to.deep.include({ state: 'FAILED' });
        expect((await hub.ended('t')).outcome?.exitCode).to.equal(3);
      });
    });

  describe('without a connection of its own', () => {
    let harness: AgentHarness;

    beforeEach(async () => {
      harness = new AgentHarness();
      await harness.start();
    });
    afterEach(() => harness.close());

    it('does not start what was cancelled before', async () => {
      const { hub } = harness;
      hub.assign('a', { type: 'exec', run: { command: 'echo up; sleep 600' } } as never);
      hub.assign('b', { type: 'exec', run: { command: 'true' } } as never);
      await hub.until(() => hub.size('a') > 0);
      hub.send({ type: 'cancel', task: 'b', attempt: 1, force: false });
      const end = await hub.ended('b');
      expect(end).to.include({ state: 'CANCELLED' }).and.not.have.property('startMs');
      hub.send({ type: 'cancel', task: 'a', attempt: 1, force: true });
      await hub.ended('a');
    });

    it('kills and forgets what the hub has no use for', async () => {
      const { hub } = harness;
      hub.assign('a', { type: 'exec', run: { command: 'echo up; sleep 600' } } as never);
      await hub.until(() => hub.size('a') > 0);
      hub.send({ type: 'forget', task: 'a', attempt: 1 });
      await hub.exec('b', 'true');
      expect(hub.reportsOf('a').map(({ state }) => state)).to.deep.equal(['RUNNING']);
      hub.breakSession();
      await hub.sessions(2);
      expect(hub.hellos[1]?.attempts).to.deep.equal([]);
    });

    it('reports what it had to end when it is stopped, and says goodbye', async () => {
      const { hub } = harness;
      hub.assign('a', { type: 'exec', run: { command: 'echo up; sleep 600' } } as never);
      await hub.until(() => hub.size('a') > 0);
      await harness.stopAgent();
      expect(hub.reportsOf('a').at(-1)?.outcome).to.include({ reason: 'AGENT_STOPPED', killed: true });
      expect(hub.frames.at(-1)?.type).to.equal('goodbye');
    });

    it('leaves as soon as the hub has no use for the last thing that it was to be told', async () => {
      const { hub } = harness;
      hub.ackReports = false;
      await hub.exec('a', 'true');
      const stopped = harness.stopAgent().then(() => 'gone');
      hub.send({ type: 'forget', task: 'a', attempt: 1 });
      expect(await Promise.race([stopped, sleep(1500, 'waits')])).to.equal('gone');
    });

    it('freezes tasks for a snapshot and lets them go on', async () => {
      const { hub } = harness;
      hub.assign('a', { type: 'exec', run: { command: 'while :; do echo x; sleep 0.01; done' } } as never);
      await hub.until(() => hub.size('a') > 10);
      hub.send({ type: 'prepare', barrier: 'p' });
      await hub.until(() => hub.frames.some(({ type }) => type === 'prepared'));
      const states = readdirSync('/proc').filter((name) => {
        try {
          return (
            readFileSync(`/proc/${name}/cmdline`, 'latin1').includes('while :; do echo x') &&
            / [RSD] /.test(readFileSync(`/proc/${name}/stat`, 'latin1').replace(/^.*\)/, ''))
          );
        } catch {
          return false;
        }
      });
      const inside = states.filter(
        (name) => !readFileSync(`/proc/${name}/cmdline`, 'latin1').includes('nsenter'),
      );
      expect(inside).to.deep.equal([]);
      const before = hub.size('a');
      hub.send({ type: 'resume', barrier: 'p' });
      await hub.until(() => hub.size('a') > before + 20);
      hub.send({ type: 'cancel', task: 'a', attempt: 1, force: true });
      await hub.ended('a');
    });
  });
});
