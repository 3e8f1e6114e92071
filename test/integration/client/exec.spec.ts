import { randomBytes } from 'node:crypto';
import { expect } from 'chai';
import { deferred } from '../../../src/base/deferred.js';
import { createClient, type VmAgentClient } from '../../../src/client/index.js';
import { FakeOperatorHub, type ScriptedTask } from '../../support/fake-operator-hub.js';

describe('client exec', () => {
  let hub: FakeOperatorHub;
  let client: VmAgentClient;

  beforeEach(async () => {
    hub = await new FakeOperatorHub().start();
    client = createClient({ address: hub.address });
  });
  afterEach(() => {
    client.close();
    hub.stop();
  });

  function collect() {
    const out: Uint8Array[] = [];
    const err: Uint8Array[] = [];
    return {
      out: () => Buffer.concat(out),
      err: () => Buffer.concat(err),
      options: {
        onStdout: (data: Uint8Array) => void out.push(data),
        onStderr: (data: Uint8Array) => void err.push(data),
      },
    };
  }

  it('keeps the streams apart, byte for byte, in a lane of its own', async () => {
    const bytes = randomBytes(300_000);
    hub.onTask = (task) => {
      for (let at = 0; at < bytes.length; at += 60_000) {
        task.write('STDOUT', bytes.subarray(at, at + 60_000)).write('STDERR', `at ${at}\n`);
      }
      task.exit(7);
    };
    const seen = collect();
    const task = await client.exec({ agent: 'dev', argv: ['x'] }, seen.options);
    expect(seen.out().equals(bytes)).equal(true);
    expect(seen.err().toString()).equal('at 0\nat 60000\nat 120000\nat 180000\nat 240000\n');
    expect(task.outcome?.exitCode).equal(7);
    const [request] = [...hub.tasks.values()].map((created) => created.request);
    expect(request?.lane)
      .equal(request?.id)
      .and.match(/^exec-/);
  });

  it('hands out output while the command runs', async () => {
    const first = deferred<string>();
    let task: ScriptedTask | undefined;
    hub.onTask = (created) => {
      task = created.write('STDOUT', 'early');
    };
    const running = client.exec({ agent: 'dev' }, { onStdout: (data) => first.resolve(String(data)) });
    expect(await first.promise).equal('early');
    task?.exit(0);
    expect((await running).state).equal('SUCCEEDED');
  });

  it('does not take the next output before the reader is done with the last', async () => {
    hub.onTask = (task) => task.write('STDOUT', 'a').write('STDOUT', 'b').exit(0);
    const gate = deferred();
    const seen: string[] = [];
    const running = client.exec(
      { agent: 'dev' },
      {
        onStdout: async (data) => {
          seen.push(String(data));
          await gate.promise;
        },
      },
    );
    await client.health();
    await client.health();
    expect(seen.length).lessThan(2);
    gate.resolve();
    await running;
    expect(seen).deep.equal(['a', 'b']);
  });

  it('goes on over a restart of the hub, each byte once', async () => {
    let task: ScriptedTask | undefined;
    hub.onTask = (created) => {
      task = created.write('STDOUT', 'before ');
    };
    const seen = collect();
    const running = client.exec(
      { agent: 'dev' },
      {
        onStdout: (data) => {
          seen.options.onStdout(data);
          if (seen.out().length > 7) return;
          void hub.restart().then(() => task?.write('STDOUT', 'after').exit(0));
        },
      },
    );
    expect((await running).state).equal('SUCCEEDED');
    expect(seen.out().toString()).equal('before after');
    expect(hub.tasks.size).equal(1);
  });

  it('gives up when the hub stays away', async () => {
    hub.onTask = (task) => task.write('STDOUT', 'x');
    const running = client.exec({ agent: 'dev' }, { onStdout: () => hub.stop(), reconnectMs: 300 });
    const err = (await running.catch((reason: unknown) => reason)) as Error;
    expect(err).include({ reason: 'HUB_UNREACHABLE' });
  });

  it('cancels the task when aborted, and still answers how it ended', async () => {
    const stop = new AbortController();
    const seen = collect();
    hub.onTask = (task) => {
      task.write('STDOUT', 'working ');
      task.onCancel = () => {
        task.write('STDOUT', 'goodbye');
        task.end('CANCELLED', { reason: 'CANCELLED' });
      };
    };
    const task = await client.exec(
      { agent: 'dev' },
      {
        ...seen.options,
        signal: stop.signal,
        onStdout: (data) => {
          seen.options.onStdout(data);
          stop.abort();
        },
      },
    );
    expect(task.state).equal('CANCELLED');
    expect(seen.out().toString()).equal('working goodbye');
  });

  it('stops waiting for a cancelled task that does not end', async () => {
    const stop = new AbortController();
    hub.onTask = () => stop.abort();
    const running = client.exec({ agent: 'dev' }, { signal: stop.signal, cancelGraceMs: 100 });
    const err = (await running.catch((reason: unknown) => reason)) as Error;
    expect(err).include({ reason: 'CANCELLED' });
    expect([...hub.tasks.values()].map((task) => task.cancels)).deep.equal([[false]]);
  });

  it('kills and leaves at once when forced', async () => {
    const stop = new AbortController();
    const force = new AbortController();
    hub.onTask = (task) => {
      task.onCancel = (forced) => (forced ? undefined : force.abort(new Error('again')));
      stop.abort();
    };
    const running = client.exec({ agent: 'dev' }, { signal: stop.signal, forceSignal: force.signal });
    expect(((await running.catch((reason: unknown) => reason)) as Error).message).equal('again');
    expect([...hub.tasks.values()].map((task) => task.cancels)).deep.equal([[false, true]]);
  });

  it('cancels the task when nobody takes its output any more', async () => {
    hub.onTask = (task) => task.write('STDOUT', 'x');
    const running = client.exec({ agent: 'dev' }, { onStdout: () => Promise.reject(new Error('closed')) });
    expect(((await running.catch((reason: unknown) => reason)) as Error).message).equal('closed');
    expect([...hub.tasks.values()].map((task) => task.cancels)).deep.equal([[false]]);
  });

  it('tells of lost bytes', async () => {
    hub.onTask = (task) => task.gap(42).exit(0);
    const gaps: number[] = [];
    await client.exec({ agent: 'dev' }, { onGap: (bytes) => gaps.push(bytes) });
    expect(gaps).deep.equal([42]);
  });
});
