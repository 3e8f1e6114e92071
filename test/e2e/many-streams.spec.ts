import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { expect } from 'chai';
import { HubProcess } from '../support/e2e/hub-process.js';
import { residentBytes } from '../support/e2e/memory.js';

const STREAMS = 1_000;
/** Server-sent events say at least every 15 s that they are there. */
const HEARTBEAT_MS = 30_000;
const MIB = 1024 ** 2;
/** What one idle stream may cost the hub, sockets and all. */
const MOST_PER_STREAM = 150 * 1024;
const FLOOD = 200 * MIB;
/** What a reader that stopped may cost beside what the hub needs to take the output at all. */
const MOST_FOR_READER = 120 * MIB;

describe('streams over REST', function () {
  this.timeout(240_000);
  let hub: HubProcess;

  before(async () => {
    hub = await HubProcess.start();
    await hub.ok(['create', 'dev', '--provider', 'local']);
  });
  after(() => hub?.close());

  /** A connection with a request on it; text is what came, and `reads` whether it goes on reading. */
  function open(path: string, accept: string): Socket & { text: string } {
    const socket = Object.assign(connect(hub.httpPort, '127.0.0.1'), { text: '' });
    socket.on('error', () => {});
    socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\nAccept: ${accept}\r\n\r\n`);
    return socket;
  }

  function reading(path: string): Socket & { text: string } {
    const socket = open(path, 'text/event-stream');
    socket.on('data', (data: Buffer) => {
      socket.text += data.toString('latin1');
    });
    return socket;
  }

  async function says(socket: Socket & { text: string }, words: string | RegExp): Promise<void> {
    const isThere = () => (typeof words === 'string' ? socket.text.includes(words) : words.test(socket.text));
    while (!isThere()) {
      expect(socket.destroyed || socket.readableEnded, `cut after: ${socket.text.slice(-500)}`).to.equal(
        false,
      );
      await Promise.race([once(socket, 'data'), once(socket, 'close')]);
    }
  }

  const memory = async () => (await residentBytes([hub.pid]))[0] ?? 0;

  /** How many calls of a method ended with CANCELLED. */
  async function cancelled(method: string): Promise<number> {
    const { text } = await hub.rest('GET', '/metrics');
    const lines = text.split('\n').filter((line) => line.startsWith('vm_agent_rpc_total{'));
    const line = lines.find((row) => row.includes(`/${method}"`) && row.includes('code="1"'));
    return Number(line?.split(' ').at(-1) ?? 0);
  }

  it(`${STREAMS} idle ones stay up, all hear what happens, and leave nothing behind when they go`, async () => {
    const first = reading('/events');
    await says(first, 'retry:');
    const before = await memory();
    const sockets = [first, ...Array.from({ length: STREAMS - 1 }, () => reading('/events'))];
    await Promise.all(sockets.map((socket) => says(socket, 'retry:')));
    const began = Date.now();
    await Promise.all(sockets.map((socket) => says(socket, ': still here')));
    expect(Date.now() - began).to.be.below(HEARTBEAT_MS);
    expect(((await memory()) - before) / STREAMS).to.be.below(MOST_PER_STREAM);
    const { taskId } = (await hub.rest('POST', '/agents/dev/task', { type: 'exec', command: 'true' }))
      .json as { taskId: string };
    await Promise.all(sockets.map((socket) => says(socket, taskId)));
    const ended = await cancelled('WatchEvents');
    for (const socket of sockets) socket.destroy();
    while ((await cancelled('WatchEvents')) < ended + STREAMS) await hub.rest('GET', '/health');
  });

  it('one whose reader stops costs a bounded amount of memory, and nobody else anything', async () => {
    const command = `head -c ${FLOOD} /dev/zero | tr '\\0' x`;
    const flood = async () => {
      const { taskId } = (await hub.rest('POST', '/agents/dev/task', { type: 'exec', command })).json as {
        taskId: string;
      };
      return taskId;
    };
    await hub.ended(await flood());
    const before = await memory();
    const id = await flood();
    const slow = open(`/tasks/${id}/logs?follow=true`, '*/*');
    await once(slow, 'data');
    slow.pause();
    await hub.ended(id);
    expect((await memory()) - before).to.be.below(MOST_FOR_READER);
    const { stdout } = await hub.ok(['exec', 'dev', 'echo others are served']);
    expect(stdout).to.equal('others are served\n');
    const ended = await cancelled('StreamLogs');
    slow.destroy();
    while ((await cancelled('StreamLogs')) <= ended) await hub.rest('GET', '/health');
  });
});
