import { once } from 'node:events';
import type { ClientDuplexStream, ClientReadableStream } from '@grpc/grpc-js';
import { expect } from 'chai';
import {
  HubService,
  type ShellRequest,
  type ShellResponse,
  type StreamLogsResponse,
} from '../../../gen/vmagent/v1/hub_service.js';
import { onAbort } from '../../../src/base/abort.js';
import { deferred } from '../../../src/base/deferred.js';
import type { LogQuery } from '../../../src/hub/api.js';
import type { ShellInput, ShellOpen, ShellOutput } from '../../../src/model/agent-protocol.js';
import { HubError } from '../../../src/model/hub-error.js';
import { fakeHub } from '../../support/fake-hub.js';
import { RpcHarness } from '../../support/rpc-harness.js';
import { echo, errorOf, FOLLOW, followed, keys, logEntry, OPEN_SHELL } from '../../support/rpc-samples.js';
import { settled } from '../../support/settled.js';

function openLogs(rpc: RpcHarness, request = FOLLOW): ClientReadableStream<StreamLogsResponse> {
  const { path, requestSerialize, responseDeserialize } = HubService.streamLogs;
  return rpc.client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, request);
}

function openShell(rpc: RpcHarness): ClientDuplexStream<ShellRequest, ShellResponse> {
  const { path, requestSerialize, responseDeserialize } = HubService.shell;
  return rpc.client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize);
}

describe('server streams', () => {
  it('carries all records, with the query as it was asked', async () => {
    let asked: LogQuery | undefined;
    const stream = (query: LogQuery) => {
      asked = query;
      return (async function* () {
        for (let i = 0; i < 100; i++) yield logEntry(Buffer.from([i]));
      })();
    };
    await using rpc = await new RpcHarness(fakeHub({ logs: { stream } })).start();
    const got: number[] = [];
    for await (const { record } of openLogs(rpc)) got.push(record.data[0]);
    expect(got).to.deep.equal([...Array(100).keys()]);
    expect(asked).to.deep.include({ scope: { task: 't' }, follow: true, format: 'LINES', streams: [] });
  });

  it('ends with the error of the source, after what came before it', async () => {
    const stream = async function* () {
      yield logEntry(Buffer.from('x'));
      throw new HubError('LOG_EXPIRED', 'gone');
    };
    await using rpc = await new RpcHarness(fakeHub({ logs: { stream } })).start();
    const call = openLogs(rpc);
    const seen: unknown[] = [];
    call.on('data', (message) => seen.push(message));
    expect(await errorOf(call)).to.include({ reason: 'LOG_EXPIRED', message: 'gone' });
    expect(seen).to.have.length(1);
  });

  it('aborts the source when the caller cancels', async () => {
    const reason = deferred<unknown>();
    const stream = (_: LogQuery, signal: AbortSignal) => {
      onAbort(signal, reason.resolve);
      return followed([logEntry(Buffer.from('x'))], signal);
    };
    await using rpc = await new RpcHarness(fakeHub({ logs: { stream } })).start();
    const call = openLogs(rpc);
    call.on('error', () => {});
    await once(call, 'data');
    call.cancel();
    expect(await reason.promise).to.include({ reason: 'CANCELLED' });
  });

  it('does not wait for a source that ignores the signal', async () => {
    const stream = async function* () {
      yield logEntry(Buffer.from('x'));
      await new Promise(() => {});
    };
    await using rpc = await new RpcHarness(fakeHub({ logs: { stream } })).start();
    const call = openLogs(rpc);
    await once(call, 'data');
    const ended = errorOf(call);
    await rpc.server.close({ graceMs: 2000 });
    expect(await ended).to.include({ reason: 'HUB_STOPPING' });
  });

  it('makes the source wait for a slow reader', async () => {
    let produced = 0;
    const chunk = Buffer.alloc(65_536);
    const stream = async function* () {
      for (; produced < 4000; produced++) yield logEntry(chunk);
    };
    await using rpc = await new RpcHarness(fakeHub({ logs: { stream } })).start();
    const call = openLogs(rpc);
    await once(call, 'readable');
    await settled(() => produced);
    expect(produced, 'chunks of 64 KiB in flight').to.be.below(100);
    let received = 0;
    for await (const { record } of call) received += record.data.length;
    expect(received).to.equal(4000 * 65_536);
  });
});

describe('two-way streams', () => {
  const agents = {
    shell: async (_id: string, _open: ShellOpen, input: AsyncIterable<ShellInput>) => echo(input),
  };

  it('carries messages both ways and ends when the handler does', async () => {
    await using rpc = await new RpcHarness(fakeHub({ agents })).start();
    const call = openShell(rpc);
    call.write(OPEN_SHELL);
    for (let i = 0; i < 100; i++) call.write(keys(`${i} `));
    call.end();
    let text = '';
    let exitCode: number | undefined;
    for await (const { message } of call as AsyncIterable<ShellResponse>)
      if (message?.$case === 'output') text += message.value.toString();
      else exitCode = message?.value.exitCode;
    expect(text.trim().split(' ')).to.deep.equal([...Array(100).keys()].map(String));
    expect(exitCode).to.equal(7);
  });

  it('names the field when the first message is wrong', async () => {
    await using rpc = await new RpcHarness(fakeHub({ agents })).start();
    const call = openShell(rpc);
    call.write(keys('x'));
    expect((await errorOf(call)).fields[0]?.field).to.equal('open');
  });

  it('gives its status although the handler leaves unread messages behind', async () => {
    const shell = async () =>
      (async function* (): AsyncIterable<ShellOutput> {
        yield { type: 'exit', exitCode: 0 };
      })();
    await using rpc = await new RpcHarness(fakeHub({ agents: { shell } })).start();
    const call = openShell(rpc);
    call.on('error', () => {}).resume();
    call.write(OPEN_SHELL);
    for (let i = 0; i < 100; i++) call.write(keys('unread'));
    const [status] = await once(call, 'status');
    expect(status.code).to.equal(0);
  });

  it('lets go of a reader that the handler left behind', async () => {
    const left = deferred<unknown>();
    const shell = async (_id: string, _open: ShellOpen, input: AsyncIterable<ShellInput>) => {
      void input[Symbol.asyncIterator]().next().catch(left.resolve);
      return (async function* (): AsyncIterable<ShellOutput> {
        yield { type: 'exit', exitCode: 0 };
      })();
    };
    await using rpc = await new RpcHarness(fakeHub({ agents: { shell } })).start();
    const call = openShell(rpc);
    call.resume().on('error', () => {});
    call.write(OPEN_SHELL);
    expect(await left.promise).to.include({ reason: 'CANCELLED' });
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
    await using rpc = await new RpcHarness(fakeHub({ agents: { shell } })).start();
    const call = openShell(rpc);
    call.write(OPEN_SHELL);
    let sent = 0;
    const chunk: ShellRequest = { message: { $case: 'input', value: Buffer.alloc(65_536) } };
    for (let i = 0; i < 1000; i++) call.write(chunk, () => sent++);
    call.end();
    await settled(() => sent);
    expect(sent, 'chunks of 64 KiB on their way').to.be.below(100);
    go.resolve();
    call.resume();
    await once(call, 'end');
    expect(read).to.equal(1000 * 65_536);
  });

  it('ends as HUB_STOPPING when the hub stops, and refuses what comes then', async () => {
    await using rpc = await new RpcHarness(fakeHub({ agents })).start();
    const call = openShell(rpc);
    call.write(OPEN_SHELL);
    call.write(keys('x'));
    await once(call, 'data');
    const ended = errorOf(call);
    await rpc.server.close({ graceMs: 2000 });
    expect(await ended).to.include({ reason: 'HUB_STOPPING' });
  });

  it('lives through a handler that throws at once, later, and something that is no error', async () => {
    const thrown: unknown[] = [new Error('x'), 'text', undefined];
    for (const what of thrown) {
      const shell = async () => {
        throw what;
      };
      await using rpc = await new RpcHarness(fakeHub({ agents: { shell } })).start();
      const call = openShell(rpc);
      call.write(OPEN_SHELL);
      expect(await errorOf(call)).to.include({ reason: 'INTERNAL' });
    }
  });
});

/** Resolves when a number has stopped growing for 300 ms. */
