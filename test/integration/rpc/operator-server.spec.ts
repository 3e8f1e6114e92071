import { once } from 'node:events';
import { connect } from 'node:net';
import { expect } from 'chai';
import {
  CreateTaskRequest,
  HubService,
  type CreateTaskRequest as Request,
} from '../../../gen/vmagent/v1/hub_service.js';
import { VmManagerService } from '../../../gen/vmagent/v1/vm_manager_service.js';
import { deferred } from '../../../src/base/deferred.js';
import type { TaskRequest } from '../../../src/hub/api.js';
import { HubError } from '../../../src/model/hub-error.js';
import { hubErrorFromStatus } from '../../../src/wire/status.js';
import { fakeHub, fakeTask, fakeVms } from '../../support/fake-hub.js';
import { ADMIN, failure, RpcHarness } from '../../support/rpc-harness.js';

const EXEC: Request = CreateTaskRequest.fromPartial({ type: 'exec', command: 'true', agent: 'my-agent' });

describe('operator server, unary calls', () => {
  it('answers a created task and names its creator', async () => {
    let request: TaskRequest | undefined;
    const create = async (asked: TaskRequest) => {
      request = asked;
      return fakeTask();
    };
    await using rpc = await new RpcHarness(fakeHub({ tasks: { create } })).start();
    const answer = await rpc.call(HubService.createTask, EXEC, { metadata: { 'idempotency-key': 'k1' } });
    expect(answer).to.include({ taskId: 'task-1', status: 'sent' });
    expect(answer.task).to.include({ state: 'QUEUED', stateReason: 'AGENT_OFFLINE' });
    expect(request).to.include({ creator: 'local-operator', idempotencyKey: 'k1', agent: 'my-agent' });
  });

  it('answers bad fields with their names in BadRequest', async () => {
    await using rpc = await new RpcHarness().start();
    const bad = { ...EXEC, command: '', timeout: -1 };
    const err = await failure(rpc.call(HubService.createTask, bad));
    expect(err.code).to.equal(3);
    const error = hubErrorFromStatus(err.code, err.details, err.metadata);
    expect(error.reason).to.equal('INVALID_FIELD');
    expect(error.fields.map(({ field }) => field)).to.have.members(['command', 'timeout']);
  });

  it('keeps reason, metadata and retry time of an error', async () => {
    const get = async () => {
      throw new HubError('OVERLOADED', 'slow down: zu viel \u{1F600} \ud800', {
        metadata: { queued: '7' },
        retryAfterMs: 1500,
      });
    };
    await using rpc = await new RpcHarness(fakeHub({ tasks: { get } })).start();
    const err = await failure(rpc.call(HubService.getTask, { task: 't' }));
    const error = hubErrorFromStatus(err.code, err.details, err.metadata);
    expect(error).to.include({ reason: 'OVERLOADED', retryAfterMs: 1500 });
    expect(error.message).to.equal('slow down: zu viel \u{1F600} \ufffd');
    expect(error.metadata).to.deep.equal({ queued: '7' });
  });

  it('hides what an unknown error says', async () => {
    const get = () => {
      throw new Error('password=1234');
    };
    await using rpc = await new RpcHarness(fakeHub({ tasks: { get } })).start();
    const err = await failure(rpc.call(HubService.getTask, { task: 't' }));
    expect(err.code).to.equal(13);
    expect(err.details).to.equal('internal error; the hub log has the details');
  });

  it('aborts the handler when the deadline passes', async () => {
    const aborted = deferred<unknown>();
    const create = async () => fakeTask();
    const wait = (_id: string, _ms: number, signal: AbortSignal) =>
      new Promise<never>((_, reject) => {
        signal.addEventListener('abort', () => {
          aborted.resolve(signal.reason);
          reject(signal.reason);
        });
      });
    await using rpc = await new RpcHarness(fakeHub({ tasks: { create, wait } })).start();
    const call = rpc.call(
      HubService.createTask,
      { ...EXEC, wait: { seconds: 60, nanos: 0 } },
      { deadlineMs: 200 },
    );
    expect((await failure(call)).code).to.equal(4);
    // The caller's own clock may be first, and then it cancels.
    expect(await aborted.promise)
      .to.have.property('reason')
      .that.is.oneOf(['DEADLINE_EXCEEDED', 'CANCELLED']);
  });

  it('answers a waiting caller with the stored task when the hub stops', async () => {
    const waiting = deferred();
    const create = async () => fakeTask();
    const wait = (_id: string, _ms: number, signal: AbortSignal) =>
      new Promise<never>((_, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason));
        waiting.resolve();
      });
    await using rpc = await new RpcHarness(fakeHub({ tasks: { create, wait } })).start();
    const call = rpc.call(HubService.createTask, { ...EXEC, wait: { seconds: 60, nanos: 0 } });
    await waiting.promise;
    await rpc.server.close({ graceMs: 5000 });
    expect((await call).taskId).to.equal('task-1');
  });

  it('ends a call without a deadline at the limit of its method, though the handler hangs', async () => {
    const get = () => new Promise<never>(() => {});
    const limitMs = (path: string) => (path.endsWith('GetTask') ? 50 : 60_000);
    await using rpc = await new RpcHarness(fakeHub({ tasks: { get } }), fakeVms(), { limitMs }).start();
    const err = await failure(
      rpc.call(HubService.getTask, { task: 't' }, { deadlineMs: Number.POSITIVE_INFINITY }),
    );
    expect(hubErrorFromStatus(err.code, err.details, err.metadata).reason).to.equal('DEADLINE_EXCEEDED');
  });

  it('splits a list of large tasks into answers that clients take', async () => {
    const content = 'x'.repeat(2_000_000);
    const spec = { type: 'file:write', filePath: 'f', content, encoding: 'utf8' } as const;
    const all = [3, 2, 1].map((sequence) =>
      fakeTask({ id: `t${sequence}`, sequence, spec: { ...fakeTask().spec, ...spec } }),
    );
    const list = async (_: unknown, page: { size: number; before?: number }) =>
      all.filter((task) => task.sequence < (page.before ?? 9)).slice(0, page.size);
    await using rpc = await new RpcHarness(fakeHub({ tasks: { list } })).start();
    const ids: string[] = [];
    let pageToken = '';
    do {
      const request = { agent: '', states: [], type: '', pageSize: 0, pageToken };
      const page = await rpc.call(HubService.listTasks, request);
      ids.push(...page.tasks.map(({ id }) => id));
      pageToken = page.nextPageToken;
    } while (pageToken !== '');
    expect(ids).to.deep.equal(['t3', 't2', 't1']);
  });
});

describe('operator server, roles', () => {
  it('lets the local operator not restore a snapshot, and an admin do it', async () => {
    const restore = async () => {
      throw new HubError('SNAPSHOT_NOT_FOUND', 'no snapshot');
    };
    await using rpc = await new RpcHarness(fakeHub(), fakeVms({ restore })).start();
    const request = { agent: 'my-agent', snapshot: 's' };
    expect((await failure(rpc.call(VmManagerService.restoreSnapshot, request))).code).to.equal(7);
    expect(
      (await failure(rpc.call(VmManagerService.restoreSnapshot, request, { metadata: ADMIN }))).code,
    ).to.equal(5);
  });

  it('lets only an admin remove an agent that has a machine', async () => {
    const removed: string[] = [];
    const agents = {
      hasVm: async (id: string) => id === 'with-vm',
      remove: async (id: string) => void removed.push(id),
    };
    await using rpc = await new RpcHarness(fakeHub({ agents })).start();
    const remove = (agent: string, metadata = {}) =>
      rpc.call(HubService.deleteAgent, { agent, force: false }, { metadata });
    expect((await failure(remove('with-vm'))).code).to.equal(7);
    await remove('by-hand');
    await remove('with-vm', ADMIN);
    expect(removed).to.deep.equal(['by-hand', 'with-vm']);
  });

  it('refuses a wrong token even from the same user', async () => {
    await using rpc = await new RpcHarness().start();
    const err = await failure(
      rpc.call(HubService.getStats, {}, { metadata: { authorization: `Bearer ${'b'.repeat(64)}` } }),
    );
    expect(err.code).to.equal(16);
    expect(err.details).to.contain('token');
  });

  it('refuses a call without a token when the other end is not known to be the same user', async () => {
    const uidLookup = async () => undefined;
    await using rpc = await new RpcHarness(fakeHub(), fakeVms(), { uidLookup }).start();
    expect((await failure(rpc.call(HubService.getStats, {}))).code).to.equal(16);
    expect((await rpc.call(HubService.getHealth, {})).status).to.equal('healthy');
  });
});

describe('operator server, connections', () => {
  it('names an address that is in use', async () => {
    await using first = await new RpcHarness().start();
    await using second = new RpcHarness();
    const address = `127.0.0.1:${first.port}`;
    try {
      await second.server.listen(address);
      expect.fail('it listens');
    } catch (err) {
      expect(err)
        .to.include({ reason: 'ADDRESS_IN_USE' })
        .and.have.property('message')
        .that.contains(address);
    }
  });

  for (const address of [
    '0.0.0.0:0',
    '[::]:0',
    'example.com:1',
    '127.0.0.1',
    '127.0.0.1:70000',
    `unix:/${'x'.repeat(107)}`,
  ])
    it(`refuses to listen at ${address.slice(0, 20)}`, async () => {
      await using rpc = new RpcHarness();
      expect(await failure(rpc.server.listen(address))).to.include({ reason: 'INVALID_FIELD' });
    });

  it('closes a connection that does not speak HTTP/2, and one that says nothing', async () => {
    await using rpc = await new RpcHarness(fakeHub(), fakeVms(), { helloTimeoutMs: 100 }).start();
    const silent = connect(rpc.port, '127.0.0.1');
    const noisy = connect(rpc.port, '127.0.0.1');
    for (const socket of [silent, noisy]) socket.on('error', () => {}).resume();
    noisy.write(Buffer.alloc(200, 'GET / HTTP/1.1\r\n'));
    await Promise.all([once(silent, 'close'), once(noisy, 'close')]);
    expect((await rpc.call(HubService.getHealth, {})).status).to.equal('healthy');
  });

  it('keeps a connection that speaks HTTP/2 beyond that time', async () => {
    await using rpc = await new RpcHarness(fakeHub(), fakeVms(), { helloTimeoutMs: 50 }).start();
    await rpc.call(HubService.getHealth, {});
    const { promise, resolve } = deferred();
    setTimeout(resolve, 150);
    await promise;
    const state = rpc.client.getChannel().getConnectivityState(false);
    expect(state).to.equal(2);
  });

  it('refuses connections beyond its limit', async () => {
    await using rpc = await new RpcHarness(fakeHub(), fakeVms(), { maxConnections: 1 }).start();
    await rpc.call(HubService.getHealth, {});
    const second = connect(rpc.port, '127.0.0.1').on('error', () => {});
    second.resume();
    await once(second, 'close');
    await rpc.call(HubService.getHealth, {});
  });

  it('lives through truncated, oversized and unknown messages', async () => {
    await using rpc = await new RpcHarness().start();
    const raw = (path: string, bytes: Buffer) =>
      rpc.call(
        { ...HubService.getTask, path: path as '/vmagent.v1.Hub/GetTask', requestSerialize: () => bytes },
        { task: '' },
      );
    expect((await failure(raw('/vmagent.v1.Hub/GetTask', Buffer.from([0x0a, 5, 0x61])))).code).to.equal(13);
    expect((await failure(raw('/vmagent.v1.Hub/GetTask', Buffer.alloc(4 * 1024 * 1024 + 1)))).code).to.equal(
      8,
    );
    expect((await failure(raw('/vmagent.v1.Hub/Nothing', Buffer.alloc(0)))).code).to.equal(12);
    expect((await rpc.call(HubService.getHealth, {})).status).to.equal('healthy');
  });
});
