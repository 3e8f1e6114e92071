import { Metadata, type ServiceError, status } from '@grpc/grpc-js';
import { expect } from 'chai';
import {
  CreateTaskRequest,
  CreateTaskResponse,
  GetTaskRequest,
  GetTaskResponse,
  HubService,
} from '../../../../gen/vmagent/v1/hub_service.js';
import { onAbort } from '../../../../src/base/abort.js';
import { deferred } from '../../../../src/base/deferred.js';
import type { HubApi } from '../../../../src/hub/api.js';
import { HubError } from '../../../../src/model/hub-error.js';
import { hubErrorFromStatus } from '../../../../src/wire/status.js';
import { BackendCalls, statusOf, WAYS } from '../../../support/backend-calls.js';
import { fakeHub, fakeTask } from '../../../support/fake-hub.js';
import { RpcHarness } from '../../../support/rpc-harness.js';

const GET_TASK = HubService.getTask.path;
const CREATE_TASK = HubService.createTask.path;
const NOTHING = '/vmagent.v1.Hub/Nothing';
const FIVE_MEGABYTES = 'x'.repeat(5_000_000);

const EXEC = { agent: 'my-agent', type: 'exec', command: 'ls' } as const;

function asks(task = 'task-1'): Uint8Array {
  return GetTaskRequest.encode({ task }).finish();
}

function creates(more: Parameters<typeof CreateTaskRequest.fromPartial>[0] = {}): Uint8Array {
  return CreateTaskRequest.encode(CreateTaskRequest.fromPartial({ ...EXEC, ...more })).finish();
}

function gets(get: () => Promise<{ task: ReturnType<typeof fakeTask>; attempts: [] }>): HubApi {
  return fakeHub({ tasks: { get } });
}

/** A hub whose tasks never end; `gone` is told why it no longer waits. */
function endless(gone: (reason: unknown) => void, waits: () => void = () => {}): HubApi {
  const wait = (_id: string, _ms: number, signal: AbortSignal) =>
    new Promise<never>((_, reject) => {
      onAbort(signal, gone);
      onAbort(signal, reject);
      waits();
    });
  return fakeHub({ tasks: { create: async () => fakeTask(), wait } });
}

for (const [how, way] of WAYS) {
  describe(`a call with one answer ${how}`, () => {
    const serve = (...parts: ConstructorParameters<typeof RpcHarness>) =>
      BackendCalls.open(new RpcHarness(...parts), way);

    it('answers, with an OK status behind it', async () => {
      await using calls = await serve(gets(async () => ({ task: fakeTask(), attempts: [] })));
      const { err, answer, status: end } = await calls.unary(GET_TASK, asks());
      expect(err).to.equal(null);
      expect(GetTaskResponse.decode(answer ?? Buffer.alloc(0)).task?.id).to.equal('task-1');
      expect(end).to.include({ code: status.OK, details: 'OK' });
    });

    it('hands metadata to the handler', async () => {
      let key: string | undefined;
      const create: HubApi['tasks']['create'] = async (request) => {
        key = request.idempotencyKey;
        return fakeTask();
      };
      await using calls = await serve(fakeHub({ tasks: { create } }));
      const metadata = { 'idempotency-key': 'k1' };
      const { answer } = await calls.unary(CREATE_TASK, creates(), { metadata });
      expect(CreateTaskResponse.decode(answer ?? Buffer.alloc(0)).taskId).to.equal('task-1');
      expect(key).to.equal('k1');
    });

    it('fails with the status of the handler, its details and the request id', async () => {
      const missing = new HubError('TASK_NOT_FOUND', 'no such task', { metadata: { task: 'task-1' } });
      await using calls = await serve(gets(() => Promise.reject(missing)));
      const metadata = { 'x-request-id': 'r1' };
      const { err, answer, status: end } = await calls.unary(GET_TASK, asks(), { metadata });
      expect(answer).to.equal(undefined);
      expect(err).to.include({ message: '5 NOT_FOUND: no such task', code: 5, details: 'no such task' });
      const details = { reason: 'TASK_NOT_FOUND', metadata: { task: 'task-1' } };
      expect(hubErrorFromStatus(5, '', err?.metadata)).to.deep.include(details);
      expect(end.metadata.get('x-request-id')).to.deep.equal(['r1']);
    });

    it('does not tell what broke in a handler', async () => {
      await using calls = await serve(gets(() => Promise.reject(new TypeError('secret'))));
      const { err } = await calls.unary(GET_TASK, asks());
      expect(err).to.include({ code: 13, details: 'internal error; the hub log has the details' });
    });

    it('refuses methods that are not there, of every kind', async () => {
      await using calls = await serve();
      const { err } = await calls.unary(NOTHING, asks());
      expect(err?.code).to.equal(status.UNIMPLEMENTED);
      const ends = [calls.stream(NOTHING, asks()), calls.bidi(NOTHING)].map(statusOf);
      for (const end of await Promise.all(ends)) expect(end.code).to.equal(status.UNIMPLEMENTED);
      const failed = await new Promise<ServiceError | null>((resolve) => {
        calls.backend.makeClientStreamRequest(NOTHING, new Metadata(), {}, resolve).end();
      });
      expect(failed?.code).to.equal(status.UNIMPLEMENTED);
    });

    it('refuses messages of more than 4 MiB in both directions', async () => {
      const task = fakeTask({ labels: { big: FIVE_MEGABYTES } });
      await using calls = await serve(gets(async () => ({ task, attempts: [] })));
      const there = await calls.unary(GET_TASK, asks(FIVE_MEGABYTES));
      const details = 'Received message larger than max (5000005 vs 4194304)';
      expect(there.err).to.include({ code: status.RESOURCE_EXHAUSTED, details });
      const back = await calls.unary(GET_TASK, asks());
      expect(back.err?.code).to.equal(status.RESOURCE_EXHAUSTED);
    });

    it('ends at its deadline, which the handler is told', async () => {
      const gone = deferred<unknown>();
      await using calls = await serve(endless(gone.resolve));
      const options = { deadline: new Date(Date.now() + 200) };
      const { err } = await calls.unary(CREATE_TASK, creates({ wait: { seconds: 60 } }), { options });
      expect(err?.code).to.equal(status.DEADLINE_EXCEEDED);
      // Over a connection the caller may be gone before the server sees the deadline pass.
      expect(await gone.promise)
        .to.have.property('reason')
        .oneOf(['DEADLINE_EXCEEDED', 'CANCELLED']);
    });

    it('takes a deadline that is years away', async () => {
      await using calls = await serve(gets(async () => ({ task: fakeTask(), attempts: [] })));
      const options = { deadline: new Date(Date.now() + 10 * 365 * 86_400_000) };
      expect((await calls.unary(GET_TASK, asks(), { options })).err).to.equal(null);
    });

    it('ends when it is cancelled, which the handler is told', async () => {
      const gone = deferred<unknown>();
      const waits = deferred();
      await using calls = await serve(endless(gone.resolve, waits.resolve));
      const { err } = await calls.unary(CREATE_TASK, creates({ wait: { seconds: 60 } }), {
        started: (call) => void waits.promise.then(() => call.cancel()),
      });
      expect(err).to.include({ code: status.CANCELLED, details: 'Cancelled on client' });
      expect(await gone.promise).to.include({ reason: 'CANCELLED' });
    });

    it('is ended by the limit of time of its method', async () => {
      const gone = deferred<unknown>();
      await using calls = await serve(endless(gone.resolve), undefined, { limitMs: () => 100 });
      const { err } = await calls.unary(CREATE_TASK, creates({ wait: { seconds: 60 } }));
      expect(err?.code).to.equal(status.DEADLINE_EXCEEDED);
      expect(await gone.promise).to.include({ reason: 'DEADLINE_EXCEEDED' });
    });

    it('is counted with its method and its code', async () => {
      const counted = deferred<unknown>();
      const hub = gets(() => Promise.reject(new HubError('TASK_NOT_FOUND', 'no such task')));
      await using calls = await serve(hub, undefined, { observe: counted.resolve });
      await calls.unary(GET_TASK, asks());
      expect(await counted.promise).to.include({ path: GET_TASK, code: 5 });
    });
  });
}
