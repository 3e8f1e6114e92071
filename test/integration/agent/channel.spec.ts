import type { AddressInfo, Socket } from 'node:net';
import { createServer } from 'node:net';
import { expect } from 'chai';
import { openChannel } from '../../../src/agent/link/channel.js';

describe('openChannel', () => {
  const open = (door: string, signal = new AbortController().signal) =>
    openChannel({ door, agentId: 'a', token: 's' }, signal).catch((err: Error) => err.message);

  it('fails at once where nobody listens', async () => {
    expect(await open('unix:/no/such/socket')).to.equal('nobody listens there');
  });

  it('gives a peer that says nothing up after its time, or when it is told to', async () => {
    const sockets: Socket[] = [];
    const silent = createServer((socket) => void sockets.push(socket)).listen(0, '127.0.0.1');
    await new Promise((resolve) => silent.once('listening', resolve));
    const door = `127.0.0.1:${(silent.address() as AddressInfo).port}`;
    const stop = new AbortController();
    const stopped = open(door, stop.signal);
    stop.abort(new Error('stopped'));
    expect(await stopped).to.equal('stopped');
    expect(await open(door)).to.equal('it does not answer');
    for (const socket of sockets) socket.destroy();
    silent.close();
  });
});
