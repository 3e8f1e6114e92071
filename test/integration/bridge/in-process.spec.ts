import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { expect } from 'chai';
import { onAbort } from '../../../src/base/abort.js';
import { deferred } from '../../../src/base/deferred.js';
import { Disposer } from '../../../src/base/disposer.js';
import { silentLogger } from '../../../src/base/logger.js';
import { packageRoot } from '../../../src/base/package-root.js';
import { HttpGuard } from '../../../src/bridge/guard.js';
import { listenHttp } from '../../../src/bridge/http-server.js';
import { createHubHttp, type HubHttp } from '../../../src/bridge/hub-http.js';
import type { HubApi, LogQuery } from '../../../src/hub/api.js';
import { HubError } from '../../../src/model/hub-error.js';
import type { FinishedCall } from '../../../src/rpc/handlers.js';
import { type Caller, LOCAL_OPERATOR } from '../../../src/security/caller.js';
import { fakeHub, fakeTask } from '../../support/fake-hub.js';
import { ask, open, postJson } from '../../support/gateway/http-client.js';
import { RpcHarness } from '../../support/rpc-harness.js';
import { followed, logEntry } from '../../support/rpc-samples.js';
import { settled } from '../../support/settled.js';

const CHUNK = Buffer.alloc(65_536);
const EXEC = { type: 'exec', command: 'ls' };
const VIEWER: Caller = { name: 'someone', role: 'viewer' };

/** A REST door that calls its hub within the process. */
class Door implements AsyncDisposable {
  /** The first call that ended. */
  readonly ended = deferred<FinishedCall>();
  readonly rpc: RpcHarness;
  readonly http: HubHttp;
  port = 0;
  private readonly parts = new Disposer();

  constructor(parts: Parameters<typeof fakeHub>[0], caller = LOCAL_OPERATOR) {
    this.rpc = new RpcHarness(fakeHub(parts), undefined, { observe: this.ended.resolve });
    this.http = createHubHttp({
      descriptors: readFileSync(join(packageRoot(), 'gen/descriptors.binpb')),
      backend: this.rpc.server.inProcess,
      log: silentLogger,
      guard: new HttpGuard({ authorize: async () => caller }),
      metrics: async () => '',
      version: '1.2.3',
    });
  }

  async start(): Promise<this> {
    const server = this.parts.use(await listenHttp(this.http.listener, { host: '127.0.0.1', port: 0 }));
    this.parts.use(this.http);
    this.port = server.port;
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.parts.close();
    await this.rpc[Symbol.asyncDispose]();
  }
}

/** Output that goes on until it is told why not. */
function endless(gone: (reason: unknown) => void) {
  const stream = (_: LogQuery, signal: AbortSignal) => {
    onAbort(signal, gone);
    return followed([logEntry(Buffer.from('x'))], signal);
  };
  return { logs: { stream } };
}

/** Tasks that never end, until it is told why not. */
function waiting(gone: (reason: unknown) => void, waits: () => void = () => {}) {
  const wait: HubApi['tasks']['wait'] = (_id, _ms, signal) =>
    new Promise((_, reject) => {
      onAbort(signal, gone);
      onAbort(signal, reject);
      waits();
    });
  return { tasks: { create: async () => fakeTask(), wait } };
}

describe('bridge within the process of its hub', () => {
  it('hands the caller whom the guard has found to the hub', async () => {
    let creator: string | undefined;
    const create: HubApi['tasks']['create'] = async (request) => {
      creator = request.creator;
      return fakeTask();
    };
    await using door = await new Door({ tasks: { create } }).start();
    const answer = await postJson(door.port, '/agents/my-agent/task', EXEC);
    expect(answer.json()).to.include({ taskId: 'task-1' });
    expect(creator).to.equal('local-operator');
    expect(await door.ended.promise).to.include({ path: '/vmagent.v1.Hub/CreateTask', code: 0 });
  });

  it('refuses what the caller may not do, whatever headers say', async () => {
    await using door = await new Door({}, VIEWER).start();
    const named = Buffer.from('{"name":"admin","role":"admin"}').toString('base64url');
    const headers = {
      'Content-Type': 'application/json',
      'Grpc-Metadata-Authorization': 'Bearer x',
      'Grpc-Metadata-X-Vmagent-Caller': named,
      'Grpc-Metadata-Caller': named,
    };
    const body = JSON.stringify(EXEC);
    const answer = await ask(door.port, { method: 'POST', path: '/agents/my-agent/task', headers, body });
    expect(answer.status).to.equal(403);
    expect(answer.json().message).to.match(/^CreateTask needs the role operator/);
  });

  it('answers health, which needs no caller', async () => {
    await using door = await new Door({}).start();
    expect((await ask(door.port, { path: '/healthz' })).text).to.equal('{"status":"SERVING"}\n');
    expect((await ask(door.port, { path: '/healthz?service=vmagent.v1.Hub' })).status).to.equal(200);
    expect((await ask(door.port, { path: '/healthz?service=nothing' })).status).to.equal(404);
    expect((await ask(door.port, { path: '/readyz' })).status).to.equal(200);
  });

  it('ends a call when Grpc-Timeout is over', async () => {
    const gone = deferred<unknown>();
    await using door = await new Door(waiting(gone.resolve)).start();
    const headers = { 'Content-Type': 'application/json', 'Grpc-Timeout': '100m' };
    const body = JSON.stringify({ ...EXEC, wait: '60s' });
    const answer = await ask(door.port, { method: 'POST', path: '/agents/my-agent/task', headers, body });
    expect(answer.status).to.equal(504);
    expect(answer.json()).to.include({ code: 4, message: 'context deadline exceeded' });
    expect(await gone.promise).to.include({ reason: 'DEADLINE_EXCEEDED' });
  });

  it('answers an error, and not an empty output, when the output cannot be read', async () => {
    const get = async () => ({ task: fakeTask(), attempts: [] });
    const gone = new HubError('LOG_EXPIRED', 'the output is gone');
    const stream = () => followed([], AbortSignal.abort(gone));
    await using door = await new Door({ tasks: { get }, logs: { stream } }).start();
    const answer = await ask(door.port, { path: '/tasks/t/output' });
    expect(answer.json()).to.include({ message: 'the output is gone' });
    expect(answer.status).to.be.greaterThan(399);
  });

  it('answers 429 for a message above 4 MiB', async () => {
    await using door = await new Door({}).start();
    const answer = await postJson(door.port, '/agents/my-agent/task', {
      ...EXEC,
      command: 'x'.repeat(5_000_000),
    });
    expect(answer.status).to.equal(429);
    expect(answer.json()).to.include({ code: 8 });
  });

  it('tells the handler when the client of a call goes away', async () => {
    const gone = deferred<unknown>();
    const waits = deferred();
    await using door = await new Door(waiting(gone.resolve, waits.resolve)).start();
    const headers = { 'Content-Type': 'application/json' };
    const req = request({ port: door.port, method: 'POST', path: '/agents/my-agent/task', headers });
    req.on('error', () => {}).end(JSON.stringify({ ...EXEC, wait: '60s' }));
    await waits.promise;
    req.destroy();
    expect(await gone.promise).to.include({ reason: 'CANCELLED' });
  });

  it('tells the handler when the client of a stream goes away, and leaves no call behind', async () => {
    const gone = deferred<unknown>();
    await using door = await new Door(endless(gone.resolve)).start();
    const answer = await open(door.port, '/tasks/t/logs?follow=true');
    await once(answer, 'data');
    expect(door.rpc.server.inProcess.calls.size).to.equal(1);
    answer.destroy();
    expect(await gone.promise).to.include({ reason: 'CANCELLED' });
    expect(await door.ended.promise).to.include({ code: 1 });
    expect(door.rpc.server.inProcess.calls.size).to.equal(0);
  });

  it('ends a stream with its reason when the hub stops', async () => {
    await using door = await new Door(endless(() => {})).start();
    const answer = await open(door.port, '/tasks/t/logs?follow=true');
    let text = '';
    answer.on('data', (bytes) => {
      text += bytes;
    });
    await once(answer, 'data');
    door.http.close();
    await once(answer, 'end');
    const [, last = ''] = text.split('\n');
    expect(JSON.parse(last).error).to.include({ code: 14, message: 'the hub stops; try again' });
    expect((await ask(door.port, { path: '/tasks/t' })).status).to.equal(503);
  });

  it('makes the handler wait for a client that reads slowly', async () => {
    let made = 0;
    const stream = async function* () {
      for (; made < 1000; made++) yield logEntry(CHUNK);
    };
    await using door = await new Door({ logs: { stream } }).start();
    const answer = await open(door.port, '/tasks/t/logs');
    answer.pause();
    await settled(() => made);
    expect(made, 'chunks of 64 KiB on their way').to.be.below(200);
    let lines = 0;
    for await (const bytes of answer) for (const byte of bytes) if (byte === 10) lines++;
    expect(lines).to.equal(1000);
  });
});
