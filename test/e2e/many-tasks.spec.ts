import { expect } from 'chai';
import { HubProcess } from '../support/e2e/hub-process.js';
import { at, list } from '../support/e2e/json-path.js';

const AGENTS = 20;
const PER_AGENT = 100;

interface Expected {
  readonly id: string;
  readonly agent: string;
  readonly body: Readonly<Record<string, unknown>>;
  readonly exitCode: number | undefined;
  readonly state: string;
}

/** Task number `n` of an agent: types and exit codes in turn; each command leaves a mark of its number in its lane. */
function expectedTask(agent: string, n: number): Expected {
  const id = `${agent}-${n}`;
  const lane = n % 4 === 3 ? 'side' : 'default';
  const mark = `echo ${n} >> marks-${lane}`;
  const exitCode = n % 7 === 0 ? (n * 37) % 256 : 0;
  const common = { id, lane };
  const state = exitCode === 0 ? 'SUCCEEDED' : 'FAILED';
  switch (n % 5) {
    case 0:
      return {
        id,
        agent,
        exitCode,
        state,
        body: { ...common, type: 'build', command: `${mark}; exit ${exitCode}` },
      };
    case 1: {
      const script = `require('fs').appendFileSync('marks-${lane}', '${n}\\n'); process.exit(${exitCode})`;
      return { id, agent, exitCode, state, body: { ...common, type: 'script', script } };
    }
    case 2: {
      const file = { type: 'file:write', filePath: `files/${n}`, content: id };
      return { id, agent, exitCode: undefined, state: 'SUCCEEDED', body: { ...common, ...file } };
    }
    case 3:
      return {
        id,
        agent,
        exitCode,
        state,
        body: { ...common, type: 'test', command: `${mark}; exit ${exitCode}` },
      };
    default: {
      const argv = ['sh', '-c', `${mark}; exit "$0"`, `${exitCode}`];
      return { id, agent, exitCode, state, body: { ...common, type: 'exec', argv } };
    }
  }
}

/** The numbers that an agent's tasks leave in the file of a lane, in order. */
function expectedMarks(lane: string): string {
  const numbers = Array.from({ length: PER_AGENT }, (_, n) => n);
  const marked = numbers.filter((n) => (n % 4 === 3) === (lane === 'side') && n % 5 !== 2);
  return marked.map((n) => `${n}\n`).join('');
}

describe(`${AGENTS * PER_AGENT} tasks over ${AGENTS} agents`, function () {
  this.timeout(300_000);
  const names = Array.from({ length: AGENTS }, (_, index) => `agent-${index}`);
  let hub: HubProcess;
  let tasks: readonly Expected[];

  before(async () => {
    hub = await HubProcess.start();
    for (let first = 0; first < AGENTS; first += 4) {
      await Promise.all(
        names.slice(first, first + 4).map((name) => hub.ok(['create', name, '--provider', 'local'])),
      );
    }
    const byNumber = Array.from({ length: PER_AGENT }, (_, n) => names.map((name) => expectedTask(name, n)));
    tasks = byNumber.flat();
    // In the order of their numbers per agent, twenty requests at a time.
    for (const round of byNumber) {
      const answers = await Promise.all(
        round.map((t) => hub.rest('POST', `/agents/${t.agent}/task`, t.body)),
      );
      expect(answers.map((answer) => answer.status)).to.deep.equal(round.map(() => 200));
    }
  });
  after(() => hub?.close());

  it('ends every task once, with its exact exit code', async () => {
    for (const expected of tasks) {
      const answer = await hub.rest('POST', `/agents/${expected.agent}/task`, {
        ...expected.body,
        wait: '240s',
      });
      const outcome = `${expected.id} ${at(answer.json, 'task.state')} ${at(answer.json, 'task.outcome.exitCode')}`;
      expect(outcome).to.equal(
        `${expected.id} ${expected.state} ${expected.exitCode ?? outcome.split(' ').pop()}`,
      );
      expect(answer.at('task.attempt')).to.equal(1);
    }
    const stats = (await hub.rest('GET', '/admin/stats')).json;
    for (const agent of list(stats, 'agents')) {
      const completed = Number(at(agent, 'stats.tasksCompleted'));
      expect(completed + Number(at(agent, 'stats.tasksFailed'))).to.equal(PER_AGENT);
    }
    expect(at(stats, 'router')).to.include({ queuedTasks: 0, activeTasks: 0 });
  });

  it('keeps the order of each lane', async () => {
    for (const agent of names) {
      for (const lane of ['default', 'side']) {
        const read = { type: 'file:read', filePath: `marks-${lane}`, lane: 'check', wait: '60s' };
        const answer = await hub.rest('POST', `/agents/${agent}/task`, read);
        expect(answer.at('task.outcome.result.content'), `${agent} ${lane}`).to.equal(expectedMarks(lane));
      }
    }
  });
});

describe('accepted tasks', function () {
  this.timeout(120_000);
  let hub: HubProcess;

  before(async () => {
    hub = await HubProcess.start();
  });
  after(() => hub?.close());

  it('wait for an agent that is offline, and run when it comes', async () => {
    await hub.ok(['create', 'sleeper', '--provider', 'local']);
    await hub.ok(['stop', 'sleeper']);
    const posted = await hub.rest('POST', '/agents/sleeper/task', { type: 'exec', command: 'echo awake' });
    expect(posted.at('task.state')).to.equal('QUEUED');
    expect(posted.at('task.stateReason')).to.equal('AGENT_OFFLINE');
    await hub.ok(['start', 'sleeper']);
    const task = await hub.ended(posted.at('taskId'));
    expect(at(task, 'state')).to.equal('SUCCEEDED');
    expect(at(task, 'outcome.stdoutTail')).to.equal('awake\n');
  });

  it('survive the sudden death of the hub', async () => {
    await hub.rest('POST', '/agents/register', { agentId: 'far-away' });
    const task = { id: 'kept', type: 'exec', command: 'true' };
    const posted = await hub.rest('POST', '/agents/far-away/task', task);
    expect(posted.status).to.equal(200);
    await hub.crash();
    await hub.startAgain();
    const answer = await hub.rest('GET', '/tasks/kept');
    expect(answer.at('task.id')).to.equal('kept');
    expect(answer.at('task.state')).to.equal('QUEUED');
  });
});
