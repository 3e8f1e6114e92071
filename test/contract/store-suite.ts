import { expect } from 'chai';
import type { ClaimQuery, Store } from '../../src/hub/store.js';
import type { HubEvent } from '../../src/model/event.js';
import { HubError } from '../../src/model/hub-error.js';
import { emptyOutcome, type NewTask, type Task, type TerminalState } from '../../src/model/task.js';
import { newAgent, newTask, WIDE } from '../support/store-data.js';

/** Makes stores over the same data: a second one, opened after the first was closed, finds what it left. */
export type StoreFactory = () => Promise<{
  readonly open: () => Promise<Store>;
  readonly cleanUp: () => Promise<void>;
}>;

const AGENT = 'builder';
const OK = { ...emptyOutcome('EXITED'), exitCode: 0 };
const FAILED = { ...emptyOutcome('EXITED'), exitCode: 1 };

/** What every Store must do. */
export function storeSuite(name: string, factory: StoreFactory): void {
  describe(`${name} as a Store`, () => {
    let made: Awaited<ReturnType<StoreFactory>>;
    let store: Store;

    beforeEach(async () => {
      made = await factory();
      store = await made.open();
      await store.agents.create(newAgent(AGENT));
      await store.agents.openSession(AGENT, session('j1'));
    });

    afterEach(async () => {
      await store.close();
      await made.cleanUp();
    });

    const reopen = async () => {
      await store.close();
      store = await made.open();
    };
    const add = (id: string, change: Partial<NewTask> = {}) =>
      store.tasks.create(newTask(id, { agent: AGENT, ...change }), WIDE);
    const addPooled = (id: string, change: Partial<NewTask> = {}) =>
      store.tasks.create(newTask(id, change), WIDE);
    const claim = async (change: Partial<ClaimQuery> = {}) =>
      idsOf(await store.tasks.claim({ ...CLAIM, ...change }));
    const get = async (id: string): Promise<Task> => {
      const task = await store.tasks.get(id);
      if (!task) throw new Error(`no task ${id}`);
      return task;
    };
    const end = async (id: string, state: TerminalState = 'SUCCEEDED') => {
      const { attempt } = await get(id);
      const outcome = state === 'SUCCEEDED' ? OK : FAILED;
      return store.tasks.apply(
        id,
        { type: 'ended', attempt, state, startMs: 2000, endMs: 3000, outcome },
        { nowMs: 3000 },
      );
    };
    const finish = async (id: string, state: TerminalState = 'SUCCEEDED') => {
      await claim({ slots: 1000, window: 1000 });
      return end(id, state);
    };

    describe('create', () => {
      it('accepts tasks as QUEUED, in order', async () => {
        const [a, b] = await Promise.all([add('a'), add('b')]);
        expect(a.created).to.equal(true);
        expect(a.task).to.include({ id: 'a', state: 'QUEUED', attempt: 0, pooled: false, agent: AGENT });
        expect(b.task.sequence).to.be.greaterThan(a.task.sequence);
        expect(await get('a')).to.deep.equal(a.task);
      });

      it('answers a repeat by id or key with the first task and refuses other content', async () => {
        await add('a', { idempotencyKey: 'k' });
        expect(await add('a')).to.deep.include({ created: false });
        const byKey = await add('other', { idempotencyKey: 'k', digest: 'digest of a' });
        expect(byKey).to.deep.include({ created: false });
        expect(byKey.task.id).to.equal('a');
        await refuses('TASK_CONFLICT', add('a', { digest: 'x' }));
        await refuses('TASK_CONFLICT', add('b', { idempotencyKey: 'k' }));
        expect((await store.agents.get(AGENT))?.counters.tasksReceived).to.equal(1);
      });

      it('decides between two of the same id in one turn', async () => {
        const [a, b] = await Promise.all([add('a'), add('a')]);
        expect([a.created, b.created]).to.deep.equal([true, false]);
      });

      it('refuses unknown agents and dependencies', async () => {
        await refuses('AGENT_NOT_FOUND', add('a', { agent: 'nobody' }));
        await refuses('TASK_NOT_FOUND', add('a', { after: ['nothing'] }));
        expect(await store.tasks.get('a')).to.equal(undefined);
      });

      it('limits unfinished tasks of an agent and of the pool', async () => {
        const limits = { queuedPerAgent: 2, lanesPerAgent: 9 };
        const create = (id: string, agent?: string) =>
          store.tasks.create(newTask(id, agent === undefined ? {} : { agent }), limits);
        await create('a', AGENT);
        await create('b', AGENT);
        await refuses('QUEUE_FULL', create('c', AGENT));
        await create('p');
        await create('q');
        await refuses('QUEUE_FULL', create('r'));
        await finish('a');
        await create('c', AGENT);
      });

      it('limits lanes with unfinished tasks', async () => {
        const limits = { queuedPerAgent: 9, lanesPerAgent: 2 };
        const create = (id: string, lane: string) =>
          store.tasks.create(newTask(id, { agent: AGENT, lane }), limits);
        await create('a', 'x');
        await create('b', 'y');
        await create('c', 'y');
        await refuses('LANE_LIMIT', create('d', 'z'));
        await finish('a');
        await create('d', 'z');
      });

      it('stores a task whose dependency failed as CANCELLED', async () => {
        await add('a');
        await finish('a', 'FAILED');
        const { task } = await add('b', { after: ['a'] });
        expect(task).to.include({ state: 'CANCELLED' });
        expect(task.outcome?.reason).to.equal('DEPENDENCY_FAILED');
        expect(await get('b')).to.deep.equal(task);
      });
    });

    describe('claim', () => {
      it('hands out the first tasks of each lane, up to the window', async () => {
        for (const id of ['a', 'b', 'c']) await add(id);
        await add('x', { lane: 'other' });
        expect(await claim({ window: 2 })).to.deep.equal(['a', 'b', 'x']);
        expect(await claim({ window: 2 })).to.deep.equal([]);
        expect(await get('a')).to.include({
          state: 'DISPATCHED',
          attempt: 1,
          agent: AGENT,
          dispatchMs: 2000,
        });
        await end('a');
        expect(await claim({ window: 2 })).to.deep.equal(['c']);
      });

      it('counts all tasks in hand against the slots and serves every lane first', async () => {
        for (const id of ['a', 'b', 'c']) await add(id);
        await add('x', { lane: 'other' });
        expect(await claim({ slots: 2 })).to.deep.equal(['a', 'x']);
        expect(await claim({ slots: 2 })).to.deep.equal([]);
        expect(await claim({ slots: 3 })).to.deep.equal(['b']);
      });

      it('answers nothing to an older session or an unknown agent', async () => {
        await add('a');
        await addPooled('p');
        expect(await claim({ sessionGeneration: 0 })).to.deep.equal([]);
        expect(await claim({ agent: 'nobody' })).to.deep.equal([]);
        expect(await claim()).to.deep.equal(['a']);
      });

      it('waits behind a task with unmet dependencies, in its lane only', async () => {
        await add('first', { lane: 'one' });
        await add('a', { after: ['first'] });
        await add('b');
        expect(await claim()).to.deep.equal(['first']);
        expect((await end('first')).released).to.deep.equal([AGENT]);
        expect(await claim()).to.deep.equal(['a', 'b']);
      });

      it('waits until all dependencies have succeeded', async () => {
        for (const id of ['x', 'y']) await add(id, { lane: id });
        await add('a', { after: ['x', 'y', 'x'] });
        await finish('x');
        expect(await claim()).to.deep.equal([]);
        await end('y');
        expect(await claim()).to.deep.equal(['a']);
      });

      it('waits behind a STOP task in hand until it has ended', async () => {
        await add('a', { onFailure: 'STOP' });
        await add('b');
        await add('x', { lane: 'other' });
        expect(await claim()).to.deep.equal(['a', 'x']);
        expect(await claim()).to.deep.equal([]);
        await end('a');
        expect(await claim()).to.deep.equal(['b']);
      });

      it('takes pooled tasks by capability, priority and age', async () => {
        await addPooled('old');
        await addPooled('gpu', { requiredCapabilities: ['gpu'], priority: 9 });
        await addPooled('high', { priority: 5, requiredCapabilities: ['b', 'a'] });
        await addPooled('new');
        const query = { capabilities: ['a', 'b', 'c'], laneWidth: 8 };
        expect(await claim({ ...query, slots: 2 })).to.deep.equal(['high', 'old']);
        expect(await claim(query)).to.deep.equal(['new']);
        expect(await get('high')).to.include({ agent: AGENT, pooled: true });
      });

      it('takes pooled tasks only into lanes with room', async () => {
        await add('own');
        for (const id of ['p1', 'p2']) await addPooled(id);
        for (const id of ['l1', 'l2']) await addPooled(id, { lane: 'side' });
        expect(await claim({ laneWidth: 2 })).to.deep.equal(['own', 'p1', 'l1']);
        await end('l1');
        expect(await claim({ laneWidth: 2 })).to.deep.equal(['l2']);
        await end('own');
        expect(await claim({ laneWidth: 2 })).to.deep.equal(['p2']);
      });

      it('takes nothing from the pool into a lane behind a STOP task', async () => {
        await addPooled('stop', { onFailure: 'STOP' });
        await addPooled('next');
        expect(await claim({ laneWidth: 4 })).to.deep.equal(['stop']);
        expect(await claim({ laneWidth: 4 })).to.deep.equal([]);
        await end('stop');
        expect(await claim({ laneWidth: 4 })).to.deep.equal(['next']);
      });

      it('takes pooled tasks once their dependencies have succeeded', async () => {
        await add('a');
        await addPooled('p', { after: ['a'], lane: 'side' });
        expect(await claim()).to.deep.equal(['a']);
        expect((await end('a')).released).to.deep.equal(['']);
        expect(await claim()).to.deep.equal(['p']);
      });

      it('gives a pooled task to one agent only, and back to the pool', async () => {
        await store.agents.create(newAgent('second'));
        await store.agents.openSession('second', session('j2'));
        await addPooled('p');
        const both = await Promise.all([claim(), claim({ agent: 'second' })]);
        expect(both).to.deep.equal([['p'], []]);
        await store.tasks.apply('p', { type: 'requeue', attempt: 1 }, { nowMs: 2500 });
        expect(await get('p'))
          .to.include({ state: 'QUEUED' })
          .and.not.have.property('agent');
        expect(await claim({ agent: 'second' })).to.deep.equal(['p']);
        expect(await get('p')).to.include({ attempt: 2, agent: 'second' });
      });
    });

    describe('apply', () => {
      it('follows a task to its end and counts it for its agent', async () => {
        await add('a');
        await claim();
        const started = { type: 'started', attempt: 1, startMs: 2100 } as const;
        const { task, before } = await store.tasks.apply('a', started, { nowMs: 2100 });
        expect([before.state, task.state, task.startMs]).to.deep.equal(['DISPATCHED', 'RUNNING', 2100]);
        const ended = await end('a');
        expect(ended.task).to.deep.include({ state: 'SUCCEEDED', endMs: 3000, outcome: OK });
        expect(await get('a')).to.deep.equal(ended.task);
        const counters = (await store.agents.get(AGENT))?.counters;
        expect(counters).to.deep.equal({ tasksReceived: 1, tasksCompleted: 1, tasksFailed: 0 });
      });

      it('changes nothing for late events, and says so with the same object', async () => {
        await add('a');
        await finish('a', 'FAILED');
        const again = await end('a');
        expect(again.task).to.equal(again.before);
        expect(again.task.state).to.equal('FAILED');
        expect((await store.agents.get(AGENT))?.counters.tasksFailed).to.equal(1);
      });

      it('refuses unknown tasks', async () => {
        await refuses(
          'TASK_NOT_FOUND',
          store.tasks.apply('x', { type: 'requeue', attempt: 1 }, { nowMs: 1 }),
        );
      });

      it('keeps every attempt', async () => {
        await add('a', { maxAttempts: 2 });
        await claim();
        await store.tasks.apply('a', { type: 'requeue', attempt: 1 }, { nowMs: 2500 });
        await claim();
        await end('a', 'FAILED');
        expect((await get('a')).state).to.equal('QUEUED');
        await claim();
        await end('a');
        const attempts = await store.tasks.attempts('a');
        expect(attempts.map(({ number, state, agent }) => [number, state, agent])).to.deep.equal([
          [1, 'CANCELLED', AGENT],
          [2, 'FAILED', AGENT],
          [3, 'SUCCEEDED', AGENT],
        ]);
        expect(attempts[1]).to.deep.include({
          dispatchMs: 2000,
          startMs: 2000,
          endMs: 3000,
          outcome: FAILED,
        });
        expect(await store.tasks.attempts('nothing')).to.deep.equal([]);
      });

      it('drops what is queued behind a failed STOP task in its lane', async () => {
        await add('a', { onFailure: 'STOP' });
        await add('b');
        await add('c', { after: ['b'], lane: 'other' });
        await add('free', { lane: 'free' });
        const { dropped } = await finish('a', 'TIMED_OUT');
        expect(reasons(dropped)).to.deep.equal({ b: 'LANE_STOPPED', c: 'DEPENDENCY_FAILED' });
        expect((await get('free')).state).to.equal('DISPATCHED');
        await add('d');
        expect(await claim()).to.deep.equal(['d']);
      });

      it('leaves the lane alone when a STOP task succeeds or is cancelled', async () => {
        for (const id of ['a', 'b']) await add(id, { onFailure: 'STOP' });
        await add('c');
        expect((await finish('a')).dropped).to.deep.equal([]);
        expect((await finish('b', 'CANCELLED')).dropped).to.deep.equal([]);
        expect(await claim()).to.deep.equal(['c']);
      });

      it('drops all that depend on a task that did not succeed, and what depends on those', async () => {
        await add('a');
        await add('b', { after: ['a'], lane: 'b' });
        await add('c', { after: ['b'], lane: 'c' });
        await addPooled('p', { after: ['c', 'a'] });
        const outcome = emptyOutcome('CANCELLED');
        const { dropped } = await store.tasks.apply(
          'a',
          { type: 'cancel', atMs: 2000, outcome },
          { nowMs: 2000 },
        );
        expect(idsOf(dropped).sort()).to.deep.equal(['b', 'c', 'p']);
        expect(new Set(Object.values(reasons(dropped)))).to.deep.equal(new Set(['DEPENDENCY_FAILED']));
        expect(await store.tasks.counts()).to.deep.equal({
          queued: 0,
          dispatched: 0,
          running: 0,
          deadLetters: 0,
        });
      });

      it('records the journal position of the journal in use, which only grows', async () => {
        await add('a');
        await claim();
        const ack = (journalId: string, sequence: number) =>
          store.tasks.apply(
            'a',
            { type: 'started', attempt: 1, startMs: 1 },
            { nowMs: 1, ack: { agent: AGENT, journalId, sequence } },
          );
        await ack('j1', 7);
        await ack('j1', 5);
        await ack('older', 99);
        expect((await store.agents.get(AGENT))?.ackedSequence).to.equal(7);
      });
    });

    describe('lists and counts', () => {
      it('lists newest first, in pages, by every filter', async () => {
        for (const id of ['a', 'b', 'c', 'd']) await add(id);
        await addPooled('p', { spec: { ...newTask('p').spec, type: 'script', script: '', args: [] } });
        await finish('a', 'FAILED');
        const list = async (filter: Parameters<Store['tasks']['list']>[0], size = 10, before?: number) =>
          idsOf(await store.tasks.list(filter, before === undefined ? { size } : { size, before }));
        expect(await list({}, 2)).to.deep.equal(['p', 'd']);
        expect(await list({}, 2, (await get('d')).sequence)).to.deep.equal(['c', 'b']);
        expect(await list({ agent: AGENT })).to.include.members(['d', 'c', 'b', 'a']);
        expect(await list({ states: ['FAILED'] })).to.deep.equal(['a']);
        expect(await list({ type: 'script' })).to.deep.equal(['p']);
        expect(await list({ endedAfterMs: 2999 })).to.deep.equal(['a']);
        expect(await list({ endedAfterMs: 3000 })).to.deep.equal([]);
      });

      it('knows dead letters: LOST, or FAILED without a start', async () => {
        for (const id of ['lost', 'unstarted', 'ran']) await add(id);
        await claim();
        const outcome = emptyOutcome('VM_DESTROYED');
        await store.tasks.apply(
          'lost',
          { type: 'lose', attempt: 1, fenced: true, atMs: 3000, outcome },
          { nowMs: 3000 },
        );
        await store.tasks.apply(
          'unstarted',
          { type: 'ended', attempt: 1, state: 'FAILED', endMs: 3000, outcome },
          { nowMs: 3000 },
        );
        await end('ran', 'FAILED');
        expect(idsOf(await store.tasks.list({ deadLetters: true }, { size: 9 }))).to.deep.equal([
          'unstarted',
          'lost',
        ]);
        expect((await store.tasks.counts()).deadLetters).to.equal(2);
      });

      it('counts and knows the load, also after a restart', async () => {
        for (const id of ['a', 'b', 'c']) await add(id);
        await addPooled('p', { requiredCapabilities: ['gpu'] });
        await claim({ window: 2 });
        await store.tasks.apply('a', { type: 'started', attempt: 1, startMs: 2100 }, { nowMs: 2100 });
        await reopen();
        expect(await store.tasks.counts()).to.deep.equal({
          queued: 2,
          dispatched: 1,
          running: 1,
          deadLetters: 0,
        });
        const load = await store.tasks.load();
        expect([...load.keys()]).to.deep.equal([AGENT]);
        expect(load.get(AGENT)?.queued).to.equal(1);
        expect(idsOf(load.get(AGENT)?.inHand ?? [])).to.deep.equal(['a', 'b']);
        expect((await store.tasks.load(['nobody'])).size).to.equal(0);
        expect(idsOf(await store.tasks.active(AGENT))).to.deep.equal(['a', 'b']);
      });

      it('finds queued tasks whose ttl is over', async () => {
        await add('short', { ttlMs: 10 });
        await add('long', { ttlMs: 1000, lane: 'x' });
        await add('ever', { lane: 'y' });
        expect(await store.tasks.expired(1009, 9)).to.deep.equal([]);
        expect(await store.tasks.expired(1010, 9)).to.deep.equal(['short']);
        expect(await store.tasks.expired(9999, 1)).to.deep.equal(['short']);
        await claim();
        expect(await store.tasks.expired(9999, 9)).to.deep.equal([]);
      });

      it('drops what is queued for an agent, some at a time', async () => {
        for (const id of ['a', 'b', 'c']) await add(id);
        await addPooled('p', { after: ['c'] });
        await claim({ window: 1 });
        const drop = { type: 'drop', atMs: 5000, outcome: emptyOutcome('AGENT_DESTROYED') } as const;
        expect(reasons(await store.tasks.dropQueued(AGENT, drop, 1))).to.deep.equal({ b: 'AGENT_DESTROYED' });
        expect(reasons(await store.tasks.dropQueued(AGENT, drop, 9))).to.deep.equal({
          c: 'AGENT_DESTROYED',
          p: 'DEPENDENCY_FAILED',
        });
        expect(await store.tasks.dropQueued(AGENT, drop, 9)).to.deep.equal([]);
        expect((await get('a')).state).to.equal('DISPATCHED');
      });

      it('purges old ended tasks with their attempts, oldest first', async () => {
        for (const id of ['a', 'b', 'c']) await add(id);
        for (const id of ['a', 'b']) await finish(id);
        expect(await store.tasks.purge(3000, 9)).to.deep.equal([]);
        expect(await store.tasks.purge(3001, 1)).to.deep.equal(['a']);
        expect(await store.tasks.purge(9999, 9)).to.deep.equal(['b']);
        expect(await store.tasks.get('a')).to.equal(undefined);
        expect(await store.tasks.attempts('a')).to.deep.equal([]);
        expect((await get('c')).state).to.equal('DISPATCHED');
        const { task } = await add('d');
        expect(task.sequence).to.be.greaterThan((await get('c')).sequence);
      });
    });

    describe('agents', () => {
      it('creates, lists by name, updates and removes', async () => {
        await store.agents.create(
          newAgent('a-first', { capabilities: ['x'], metadata: { team: [1, null] } }),
        );
        await refuses('AGENT_EXISTS', store.agents.create(newAgent(AGENT)));
        expect((await store.agents.list()).map(({ id }) => id)).to.deep.equal(['a-first', AGENT]);
        const counters = { tasksReceived: 3, tasksCompleted: 2, tasksFailed: 1 };
        const changed = await store.agents.update('a-first', { phase: 'FAILED', lastSeenMs: 7, counters });
        const expected = newAgent('a-first', { capabilities: ['x'], metadata: { team: [1, null] } });
        expect(changed).to.deep.equal({ ...expected, phase: 'FAILED', lastSeenMs: 7, counters });
        expect(await store.agents.get('a-first')).to.deep.equal(changed);
        await refuses('AGENT_NOT_FOUND', store.agents.update('nobody', {}));
        await store.agents.remove('a-first');
        expect(await store.agents.get('a-first')).to.equal(undefined);
        await store.agents.remove('a-first');
      });

      it('opens sessions with generations that are never used again', async () => {
        const first = await store.agents.openSession(AGENT, {
          ...session('j1'),
          capabilities: ['git'],
          vmGeneration: 3,
        });
        expect(first).to.deep.include({
          sessionGeneration: 2,
          capabilities: ['git'],
          vmGeneration: 3,
          version: '1',
        });
        await store.agents.remove(AGENT);
        await store.agents.create(newAgent(AGENT));
        const next = await store.agents.openSession(AGENT, session('j1'));
        expect(next.sessionGeneration).to.be.greaterThan(first.sessionGeneration);
        await refuses('AGENT_NOT_FOUND', store.agents.openSession('nobody', session('j')));
      });

      it('keeps the journal position of a journal and begins anew with another', async () => {
        await add('a');
        await claim();
        const ack = { agent: AGENT, journalId: 'j1', sequence: 4 };
        await store.tasks.apply('a', { type: 'started', attempt: 1, startMs: 1 }, { nowMs: 1, ack });
        expect((await store.agents.openSession(AGENT, session('j1'))).ackedSequence).to.equal(4);
        expect((await store.agents.openSession(AGENT, session('j2'))).ackedSequence).to.equal(0);
      });
    });

    describe('events', () => {
      const types = (events: readonly HubEvent[]) =>
        events.map(({ type, state, reason }) => [type, state, reason]);

      it('tells the life of a task in the order of the commits', async () => {
        await add('a');
        await claim();
        await store.tasks.apply('a', { type: 'started', attempt: 1, startMs: 2100 }, { nowMs: 2100 });
        await end('a', 'FAILED');
        const events = await store.events.read(0, 100);
        expect(types(events)).to.deep.equal([
          ['task.queued', 'QUEUED', ''],
          ['task.dispatched', 'DISPATCHED', ''],
          ['task.running', 'RUNNING', ''],
          ['task.ended', 'FAILED', 'EXITED'],
        ]);
        expect(events[0]).to.include({ sequence: 1, agent: AGENT, task: 'a', atMs: 1000 });
        expect(await store.events.read(2, 1)).to.deep.equal([events[2]]);
      });

      it('wakes listeners after commits that wrote events, and only then', async () => {
        let wakes = 0;
        const listening = store.events.listen(() => wakes++);
        await store.values.set('k', 'v');
        expect(wakes).to.equal(0);
        await Promise.all([add('a'), add('b')]);
        await store.values.get('k');
        expect(wakes).to.be.within(1, 2);
        const before = wakes;
        listening[Symbol.dispose]();
        await add('c');
        await store.values.get('k');
        expect(wakes).to.equal(before);
      });

      it('trims, refuses positions before, and never uses a position again', async () => {
        const event = {
          type: 'agent.online',
          atMs: 1,
          agent: AGENT,
          task: '',
          state: '',
          reason: '',
          message: '',
        } as const;
        for (let i = 1; i <= 5; i++) expect((await store.events.append(event)).sequence).to.equal(i);
        await store.events.trim(2);
        expect(await store.events.count()).to.equal(2);
        expect((await store.events.read(3, 9)).map(({ sequence }) => sequence)).to.deep.equal([4, 5]);
        await refuses('CURSOR_EXPIRED', store.events.read(2, 9));
        await store.events.trim(0);
        await reopen();
        expect(await store.events.last()).to.equal(5);
        expect(await store.events.count()).to.equal(0);
        expect(await store.events.read(5, 9)).to.deep.equal([]);
        expect((await store.events.append(event)).sequence).to.equal(6);
      });

      it('reads far more events than one commit wrote', async () => {
        await Promise.all(Array.from({ length: 450 }, (_, i) => add(`t${i}`)));
        const all = await store.events.read(0, 1000);
        expect(all.map(({ sequence }) => sequence)).to.deep.equal(
          Array.from({ length: 450 }, (_, i) => i + 1),
        );
        await store.events.trim(123);
        expect(await store.events.count()).to.equal(123);
        expect(await store.events.read(327, 1000)).to.deep.equal(all.slice(327));
      });
    });

    describe('commits', () => {
      it('finds everything again after a restart', async () => {
        await store.values.set('k', 'v');
        await add('a', { idempotencyKey: 'key', ttlMs: 5, labels: { x: 'ü' } });
        const before = [await get('a'), await store.agents.list(), await store.events.read(0, 99)];
        await reopen();
        expect([await get('a'), await store.agents.list(), await store.events.read(0, 99)]).to.deep.equal(
          before,
        );
        expect(await store.values.get('k')).to.equal('v');
        expect(await claim()).to.deep.equal(['a']);
      });

      it('lets each call of one turn stand alone', async () => {
        const results = await Promise.allSettled([
          add('a'),
          add('b', { after: ['nothing'] }),
          store.agents.create(newAgent(AGENT)),
          add('c', { after: ['a'] }),
          store.values.set('k', 'v'),
        ]);
        expect(results.map(({ status }) => status)).to.deep.equal([
          'fulfilled',
          'rejected',
          'rejected',
          'fulfilled',
          'fulfilled',
        ]);
        expect((await store.events.read(0, 9)).map(({ task }) => task)).to.deep.equal(['a', 'c']);
      });

      it('lets reads see the writes that one caller made before', async () => {
        const [, task, , value] = await Promise.all([
          add('a'),
          store.tasks.get('a'),
          store.values.set('k', 'v'),
          store.values.get('k'),
        ]);
        expect([task?.id, value]).to.deep.equal(['a', 'v']);
      });

      it('commits what is pending when it closes, and refuses calls afterwards', async () => {
        const pending = add('a');
        await reopen();
        expect((await pending).created).to.equal(true);
        expect((await get('a')).state).to.equal('QUEUED');
        await store.check();
        const { tasks } = store;
        await store.close();
        await store.close();
        await refuses('ILLEGAL_STATE', tasks.get('a'));
      });
    });
  });
}

const CLAIM: ClaimQuery = {
  agent: AGENT,
  sessionGeneration: 1,
  capabilities: [],
  window: 4,
  laneWidth: 1,
  slots: 16,
  nowMs: 2000,
};

function session(journalId: string) {
  return { journalId, journalSequence: 1000, vmGeneration: 0, version: '1', capabilities: [], atMs: 1500 };
}

function idsOf(tasks: readonly Task[]): string[] {
  return tasks.map(({ id }) => id);
}

function reasons(tasks: readonly Task[]): Record<string, string | undefined> {
  return Object.fromEntries(tasks.map(({ id, outcome }) => [id, outcome?.reason]));
}

/** Expects a call to be refused for a reason. */
async function refuses(reason: HubError['reason'], call: Promise<unknown>): Promise<void> {
  const err = await call.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(err).to.be.instanceOf(HubError).with.property('reason', reason);
}
