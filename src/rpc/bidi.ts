import { once } from 'node:events';
import type { Readable, Writable } from 'node:stream';
import { onAbort, untilAborted } from '../base/abort.js';

/** Messages that wait for a slow handler before the peer is made to wait. */
const HIGH_WATER = 16;

/**
 * The messages of a call. Reading them slowly holds the sender back. It ends when the sender has said all, and
 * throws the signal's reason; leaving the loop early leaves the call alone, where `for await` on the call itself
 * would destroy it and lose the status.
 */
export function readMessages<T>(call: Readable, signal: AbortSignal): AsyncIterableIterator<T> {
  const waiting: T[] = [];
  let ended = false;
  let wake = () => {};
  call.on('data', (message: T) => {
    waiting.push(message);
    if (waiting.length >= HIGH_WATER) call.pause();
    wake();
  });
  call.once('end', () => {
    ended = true;
    wake();
  });
  onAbort(signal, () => wake());

  const next = async (): Promise<IteratorResult<T>> => {
    for (;;) {
      signal.throwIfAborted();
      const message = waiting.shift();
      if (message !== undefined) {
        if (call.isPaused() && waiting.length < HIGH_WATER / 2) call.resume();
        return { done: false, value: message };
      }
      if (ended) return { done: true, value: undefined };
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  };
  const iterator = {
    next,
    return: async () => ({ done: true as const, value: undefined }),
    [Symbol.asyncIterator]: () => iterator,
  };
  return iterator;
}

/**
 * Writes all messages to a call, waiting whenever its buffer is full. It stops with the signal's reason at once,
 * without waiting for a source that does not listen to the signal.
 */
export async function writeMessages<T>(call: Writable, messages: AsyncIterable<T>, signal: AbortSignal) {
  const source = messages[Symbol.asyncIterator]();
  let finished = false;
  try {
    for (;;) {
      const next = await untilAborted(source.next(), signal);
      finished = next.done === true;
      if (next.done) return;
      if (!call.write(next.value)) await once(call, 'drain', { signal }).catch(rethrowReason(signal));
    }
  } finally {
    if (!finished) void source.return?.().catch(() => {});
  }
}

function rethrowReason(signal: AbortSignal) {
  return (err: unknown): never => {
    throw signal.aborted ? signal.reason : err;
  };
}
