import { createServer, type Server } from 'node:net';
import { expect } from 'chai';
import { createClient, type VmAgentClient } from '../../../src/client/index.js';
import { HubError } from '../../../src/model/hub-error.js';
import {
  FakeOperatorHub,
  type ScriptedTask,
  shellExit,
  shellOutput,
} from '../../support/fake-operator-hub.js';

async function failure(promise: Promise<unknown>): Promise<HubError> {
  const err = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(err).instanceOf(HubError);
  return err as HubError;
}

describe('client', () => {
  let hub: FakeOperatorHub;
  let client: VmAgentClient;

  beforeEach(async () => {
    hub = await new FakeOperatorHub().start();
    client = createClient({ address: hub.address, token: 'secret' });
  });
  afterEach(() => {
    client.close();
    hub.stop();
  });

  describe('calls', () => {
    it('answers what the hub answers and sends the token', async () => {
      expect((await client.health()).status).equal('healthy');
      expect(await client.agents.list()).deep.equal([]);
      expect(hub.tokens).deep.equal(['Bearer secret']);
    });

    it('turns a refusal into a HubError with reason, metadata and fields', async () => {
      const missing = await failure(client.agents.get('nobody'));
      expect(missing).include({ reason: 'AGENT_NOT_FOUND', message: 'there is no agent nobody' });
      expect(missing.metadata).deep.equal({ agent: 'nobody' });
      const bad = await failure(client.tasks.create({ agent: 'dev', timeout: -1 }));
      expect(bad.fields).deep.equal([{ field: 'timeout', description: 'must not be negative' }]);
    });

    it('names the address and what to do when no hub is there', async () => {
      hub.stop();
      const started = Date.now();
      const err = await failure(client.agents.list());
      expect(err.reason).equal('HUB_UNREACHABLE');
      expect(err.message).contain(hub.address).and.contain('ECONNREFUSED');
      expect(err.metadata.hint).contain('vm-agent up');
      expect(Date.now() - started).lessThan(3000);
    });

    it('gives up on a peer that accepts and says nothing', async () => {
      const silent = await listen();
      const waiting = createClient({ address: `127.0.0.1:${silent.port}`, connectTimeoutMs: 200 });
      const err = await failure(waiting.health());
      expect(err.message).contain('no answer within 200 ms');
      waiting.close();
      silent.server.close();
    });

    it('rejects with the reason of an aborted signal', async () => {
      const stop = new AbortController();
      hub.onTask = () => {};
      await client.tasks.create({ agent: 'dev', id: 'endless' });
      const waiting = client.tasks.wait('endless', { signal: stop.signal });
      stop.abort(new Error('enough'));
      expect((await waiting.catch((err: Error) => err)) as Error).include({ message: 'enough' });
    });
  });

  describe('tasks.wait', () => {
    it('sees the end of a task over a restart of the hub', async () => {
      let task: ScriptedTask | undefined;
      hub.onTask = (created) => {
        task = created;
      };
      await client.tasks.create({ agent: 'dev', id: 'long' });
      const waiting = client.tasks.wait('long');
      await hub.restart();
      task?.exit(3);
      expect((await waiting).outcome?.exitCode).equal(3);
    });
  });

  describe('logs', () => {
    it('goes on behind the last record after a restart, without repeats', async () => {
      let task: ScriptedTask | undefined;
      hub.onTask = (created) => {
        task = created.write('STDOUT', 'one').write('STDOUT', 'two');
      };
      await client.tasks.create({ agent: 'dev', id: 'talk' });
      const seen: string[] = [];
      for await (const record of client.logs(
        { task: 'talk', follow: true, lines: 10 },
        { reconnectMs: 10_000 },
      )) {
        seen.push(record.data.toString());
        if (seen.length === 2) {
          await hub.restart();
          task?.write('STDOUT', 'three').exit(0);
        }
      }
      expect(seen).deep.equal(['one', 'two', 'three']);
      expect(hub.cursors).deep.equal(['', '2']);
    });

    it('ends the call when the loop is left', async () => {
      hub.onTask = (task) => task.write('STDOUT', 'x');
      await client.tasks.create({ agent: 'dev', id: 'talk' });
      for await (const record of client.logs({ task: 'talk', follow: true })) {
        expect(record.data.toString()).equal('x');
        break;
      }
      expect(await client.agents.list()).deep.equal([]);
    });

    it('ends with the connection when no reconnect is asked for', async () => {
      hub.onTask = (task) => task.write('STDOUT', 'x');
      await client.tasks.create({ agent: 'dev', id: 'talk' });
      const reading = (async () => {
        for await (const _record of client.logs({ task: 'talk', follow: true })) hub.stop();
      })();
      expect((await failure(reading)).reason).equal('HUB_UNREACHABLE');
    });
  });

  describe('shell', () => {
    it('carries keystrokes and screen and returns the exit code', async () => {
      const seen: string[] = [];
      hub.onShell = (call) => {
        call.on('data', ({ message }) => {
          seen.push(message.$case);
          if (message.$case === 'input') call.write(shellOutput(`you said ${message.value}`));
          if (message.$case === 'input') call.write(shellExit(7), () => call.end());
        });
      };
      async function* input() {
        yield { size: { columns: 80, rows: 24 } };
        yield { input: Buffer.from('hello') };
      }
      const screen = client.shell({ agent: 'dev' }, input());
      expect(String((await screen.next()).value)).equal('you said hello');
      expect(await screen.next()).deep.equal({ done: true, value: 7 });
      expect(seen).deep.equal(['open', 'size', 'input']);
    });

    it('fails with what the input failed with', async () => {
      async function* input() {
        yield { input: Buffer.from('x') };
        throw new HubError('CANCELLED', 'the keyboard is gone');
      }
      hub.onShell = (call) => call.on('data', () => {});
      const err = await failure(client.shell({ agent: 'dev' }, input()).next());
      expect(err.message).equal('the keyboard is gone');
    });
  });
});

async function listen(): Promise<{ readonly server: Server; readonly port: number }> {
  const server = createServer((socket) => socket.unref());
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  return { server, port: typeof address === 'object' && address !== null ? address.port : 0 };
}
