import type { Readable } from 'node:stream';
import type { AsyncQueue } from '../src/base/async-queue.js';
import { systemClock } from '../src/base/clock.js';
import type { ShellInput } from '../src/client/index.js';

/** Largest run of keystrokes in one message. */
const MAX_INPUT_BYTES = 65_536;
/** Ctrl-D: what a terminal understands as the end of its input. */
const END_OF_INPUT = Buffer.from([4]);
const END_AGAIN_MS = 500;

/** Size of a window in characters. */
export interface WindowSize {
  readonly columns: number;
  readonly rows: number;
}

/** Joins keystrokes with new window sizes; waiting for a slow hub stops the reading. */
export async function* shellInput(
  stdin: Readable,
  sizes: AsyncQueue<WindowSize>,
  signal: AbortSignal,
): AsyncGenerator<ShellInput, void, undefined> {
  const keys = keystrokes(stdin, signal)[Symbol.asyncIterator]();
  const resizes = sizes[Symbol.asyncIterator]();
  let nextKeys = keys.next();
  let nextSize = resizes.next();
  for (;;) {
    const winner = await Promise.race([
      nextKeys.then((result) => ({ kind: 'keys', result }) as const),
      nextSize.then((result) => ({ kind: 'size', result }) as const),
    ]);
    if (winner.result.done) return;
    if (winner.kind === 'keys') {
      yield { input: winner.result.value };
      nextKeys = keys.next();
    } else {
      yield { size: winner.result.value };
      nextSize = resizes.next();
    }
  }
}

async function* keystrokes(stdin: Readable, signal: AbortSignal): AsyncGenerator<Buffer, void, undefined> {
  for await (const chunk of stdin.iterator({ destroyOnReturn: false })) {
    const bytes = Buffer.from(chunk as Uint8Array | string);
    for (let at = 0; at < bytes.length; at += MAX_INPUT_BYTES) yield bytes.subarray(at, at + MAX_INPUT_BYTES);
  }
  // A program in between may take the first end for its own, so it is said until the shell itself has ended.
  while (!signal.aborted) {
    yield END_OF_INPUT;
    await systemClock.sleep(END_AGAIN_MS, signal).catch(() => {});
  }
}
