import { once } from 'node:events';
import { status } from '@grpc/grpc-js';
import { expect } from 'chai';
import {
  HubService,
  ShellRequest,
  ShellResponse,
  StreamLogsRequest,
  StreamLogsResponse,
} from '../../../../gen/vmagent/v1/hub_service.js';
import { onAbort } from '../../../../src/base/abort.js';
import { deferred } from '../../../../src/base/deferred.js';
import type { ReceivingCall } from '../../../../src/bridge/backend.js';
import type { LogQuery } from '../../../../src/hub/api.js';
import type { ShellInput, ShellOpen, ShellOutput } from '../../../../src/model/agent-protocol.js';
import { HubError } from '../../../../src/model/hub-error.js';
import { BackendCalls, statusOf, WAYS } from '../../../support/backend-calls.js';
import { fakeHub } from '../../../support/fake-hub.js';
import { RpcHarness } from '../../../support/rpc-harness.js';
import { echo, errorOf, FOLLOW, followed, keys, logEntry, OPEN_SHELL } from '../../../support/rpc-samples.js';
import { settled } from '../../../support/settled.js';

const LOGS = HubService.streamLogs.path;
const SHELL = HubService.shell.path;
const REQUEST = StreamLogsRequest.encode(FOLLOW).finish();
const CHUNK = Buffer.alloc(65_536);

const shells = {
  shell: async (_id: string, _open: ShellOpen, input: AsyncIterable<ShellInput>) => echo(input),
};

function bytesOf(message: ShellRequest): Buffer {
  return Buffer.from(ShellRequest.encode(message).finish());
}

function dataOf(bytes: Buffer): Buffer {
  return Buffer.from(StreamLogsResponse.decode(bytes).record?.data ?? []);
}

/** Output without an end; counts what was made of it. */
function flood() {
  const made = { chunks: 0 };
  const stream = async function* () {
    for (; made.chunks < 4000; made.chunks++) yield logEntry(CHUNK);
  };
  return { made, stream };
}

/** Waits for the first message and reads no further. */
function firstOf(call: ReceivingCall): Promise<Buffer> {
  return new Promise((resolve) => {
    call.once('data', (bytes: Buffer) => {
      call.pause();
      resolve(bytes);
    });
  });
}

for (const [how, way] of WAYS) {
  describe(`a call with a stream of answers ${how}`, () => {
    const serve = (...parts: ConstructorParameters<typeof RpcHarness>) =>
      BackendCalls.open(new RpcHarness(...parts), way);

    it('carries all messages in order, then an OK status', async () => {
      const stream = async function* () {
        for (let i = 0; i < 100; i++) yield logEntry(Buffer.from([i]));
      };
      await using calls = await serve(fakeHub({ logs: { stream } }));
      const got: number[] = [];
      const call = calls.stream(LOGS, REQUEST).on('data', (bytes) => got.push(dataOf(bytes)[0] ?? -1));
      const end = await statusOf(call);
      if (!call.readableEnded) await once(call, 'end');
      expect(end.code).to.equal(status.OK);
      expect(got).to.deep.equal([...Array(100).keys()]);
    });

    it('ends with the error of the handler, behind what came before it', async () => {
      const stream = async function* () {
        yield logEntry(Buffer.from('x'));
        throw new HubError('LOG_EXPIRED', 'gone');
      };
      await using calls = await serve(fakeHub({ logs: { stream } }));
      const call = calls.stream(LOGS, REQUEST);
      let seen = 0;
      call.on('data', () => seen++);
      expect(await errorOf(call)).to.include({ reason: 'LOG_EXPIRED', message: 'gone' });
      expect(seen).to.equal(1);
    });

    it('throws the error of the handler into a loop over its answers', async () => {
      const stream = async function* () {
        yield logEntry(Buffer.from('x'));
        // Long enough for the reader to wait for more, as over a connection.
        await new Promise((resolve) => setTimeout(resolve, 20));
        throw new HubError('LOG_EXPIRED', 'gone');
      };
      await using calls = await serve(fakeHub({ logs: { stream } }));
      const read = async () => {
        for await (const bytes of calls.stream(LOGS, REQUEST)) expect(dataOf(bytes).toString()).to.equal('x');
      };
      const failure: unknown = await read().catch((err: unknown) => err);
      expect(failure).to.be.instanceOf(Error).with.property('details', 'gone');
    });

    it('makes the handler wait for a slow reader, and loses nothing', async () => {
      const { made, stream } = flood();
      await using calls = await serve(fakeHub({ logs: { stream } }));
      const call = calls.stream(LOGS, REQUEST);
      await firstOf(call);
      await settled(() => made.chunks);
      expect(made.chunks, 'chunks of 64 KiB on their way').to.be.below(100);
      let received = CHUNK.length;
      call.on('data', (bytes) => {
        received += dataOf(bytes).length;
      });
      call.resume();
      await once(call, 'end');
      expect(received).to.equal(4000 * CHUNK.length);
    });

    it('tells the handler when the caller cancels, although it waits for the reader', async () => {
      const gone = deferred<unknown>();
      let made = 0;
      const stream = (_: LogQuery, signal: AbortSignal) => {
        onAbort(signal, gone.resolve);
        return (async function* () {
          for (; made < 4000; made++) yield logEntry(CHUNK);
        })();
      };
      await using calls = await serve(fakeHub({ logs: { stream } }));
      const call = calls.stream(LOGS, REQUEST);
      await firstOf(call);
      await settled(() => made);
      call.cancel();
      expect((await statusOf(call)).code).to.equal(status.CANCELLED);
      expect(await gone.promise).to.include({ reason: 'CANCELLED' });
    });

    it('ends at its deadline, which the handler is told', async () => {
      const gone = deferred<unknown>();
      const stream = (_: LogQuery, signal: AbortSignal) => {
        onAbort(signal, gone.resolve);
        return followed([], signal);
      };
      await using calls = await serve(fakeHub({ logs: { stream } }));
      const call = calls.stream(LOGS, REQUEST, { deadline: new Date(Date.now() + 200) });
      expect((await statusOf(call)).code).to.equal(status.DEADLINE_EXCEEDED);
      // Over a connection the caller may be gone before the server sees the deadline pass.
      expect(await gone.promise)
        .to.have.property('reason')
        .oneOf(['DEADLINE_EXCEEDED', 'CANCELLED']);
    });

    it('ends as HUB_STOPPING when the hub stops', async () => {
      const stream = (_: LogQuery, signal: AbortSignal) => followed([logEntry(Buffer.from('x'))], signal);
      await using calls = await serve(fakeHub({ logs: { stream } }));
      const call = calls.stream(LOGS, REQUEST);
      await firstOf(call);
      const ended = errorOf(call);
      await calls.rpc.server.close({ graceMs: 2000 });
      expect(await ended).to.include({ reason: 'HUB_STOPPING' });
    });

    it('refuses a message of more than 4 MiB', async () => {
      const stream = async function* () {
        yield logEntry(Buffer.alloc(5_000_000));
      };
      await using calls = await serve(fakeHub({ logs: { stream } }));
      expect((await statusOf(calls.stream(LOGS, REQUEST))).code).to.equal(status.RESOURCE_EXHAUSTED);
      const request = StreamLogsRequest.fromPartial({ task: 'x'.repeat(5_000_000) });
      const asked = calls.stream(LOGS, StreamLogsRequest.encode(request).finish());
      expect((await statusOf(asked)).code).to.equal(status.RESOURCE_EXHAUSTED);
    });
  });

  describe(`a call with a stream in each direction ${how}`, () => {
    const serve = (...parts: ConstructorParameters<typeof RpcHarness>) =>
      BackendCalls.open(new RpcHarness(...parts), way);

    it('carries messages both ways and ends when the handler does', async () => {
      await using calls = await serve(fakeHub({ agents: shells }));
      const call = calls.bidi(SHELL);
      let text = '';
      call.on('data', (bytes: Buffer) => {
        const { message } = ShellResponse.decode(bytes);
        text += message?.$case === 'output' ? message.value.toString() : `exit ${message?.value.exitCode}`;
      });
      call.write(bytesOf(OPEN_SHELL));
      for (let i = 0; i < 100; i++) call.write(bytesOf(keys(`${i} `)));
      call.end();
      expect((await statusOf(call)).code).to.equal(status.OK);
      expect(text).to.equal(`${[...Array(100).keys()].join(' ')} exit 7`);
    });

    it('makes a fast sender wait for a slow handler', async () => {
      const go = deferred();
      let read = 0;
      const shell = async (_id: string, _open: ShellOpen, input: AsyncIterable<ShellInput>) =>
        (async function* (): AsyncIterable<ShellOutput> {
          await go.promise;
          for await (const message of input) if (message.type === 'input') read += message.data.length;
          yield { type: 'exit', exitCode: 0 };
        })();
      await using calls = await serve(fakeHub({ agents: { shell } }));
      const call = calls.bidi(SHELL);
      call.write(bytesOf(OPEN_SHELL));
      let sent = 0;
      const sending = (async () => {
        for (; sent < 1000; sent++) if (!call.write(bytesOf(keys(CHUNK)))) await once(call as never, 'drain');
        call.end();
      })();
      await settled(() => sent);
      expect(sent, 'chunks of 64 KiB on their way').to.be.below(150);
      go.resolve();
      await sending;
      expect((await statusOf(call)).code).to.equal(status.OK);
      expect(read).to.equal(1000 * CHUNK.length);
    });

    it('tells the handler when the caller cancels, although nothing is read or written', async () => {
      const gone = deferred<unknown>();
      const begun = deferred();
      const shell = async (_id: string, _open: ShellOpen, _input: unknown, signal: AbortSignal) => {
        onAbort(signal, gone.resolve);
        begun.resolve();
        return followed([], signal) as AsyncIterable<never>;
      };
      await using calls = await serve(fakeHub({ agents: { shell } }));
      const call = calls.bidi(SHELL);
      call.write(bytesOf(OPEN_SHELL));
      const end = statusOf(call);
      await begun.promise;
      call.cancel();
      expect((await end).code).to.equal(status.CANCELLED);
      expect(await gone.promise).to.include({ reason: 'CANCELLED' });
    });

    it('gives its status although the handler leaves unread messages behind', async () => {
      const shell = async () =>
        (async function* (): AsyncIterable<ShellOutput> {
          yield { type: 'exit', exitCode: 0 };
        })();
      await using calls = await serve(fakeHub({ agents: { shell } }));
      const call = calls.bidi(SHELL);
      const end = statusOf(call);
      call.write(bytesOf(OPEN_SHELL));
      for (let i = 0; i < 100; i++) call.write(bytesOf(keys('unread')));
      expect((await end).code).to.equal(status.OK);
    });
  });
}
