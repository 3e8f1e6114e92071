import { EventEmitter, once } from 'node:events';
import type { ClientDuplexStream } from '@grpc/grpc-js';
import { expect } from 'chai';
import { Duplex } from '../../../../src/agent/link/duplex.js';

/** A call that counts how often it was cancelled. */
class Call extends EventEmitter {
  cancels = 0;

  cancel(): void {
    this.cancels += 1;
    this.emit('cancelled');
  }

  end(): void {}
}

function duplexOf(call: Call, onMessage: () => void = () => {}) {
  return new Duplex<unknown, unknown>(call as unknown as ClientDuplexStream<unknown, unknown>, onMessage);
}

describe('Duplex', () => {
  it('resets its stream only behind the callbacks of the connection', async () => {
    const first = new Call();
    const second = new Call();
    const other = duplexOf(second);
    void duplexOf(first).closed.then(() => other.cancel());
    first.emit('status', { code: 14 });
    await Promise.resolve().then(() => Promise.resolve());
    expect(second.cancels, 'while Node.js still tells of the end of the first').to.equal(0);
    await once(second, 'cancelled');
    expect(second.cancels).to.equal(1);
  });

  it('resets a stream whose listener throws, and ends with what was thrown', async () => {
    const call = new Call();
    const thrown = new Error('not readable');
    const duplex = duplexOf(call, () => {
      throw thrown;
    });
    call.emit('data', {});
    expect(call.cancels).to.equal(0);
    expect(await duplex.closed).to.equal(thrown);
    await once(call, 'cancelled');
  });
});
