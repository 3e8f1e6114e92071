import type { StreamOutputRequest, StreamOutputResponse } from '../../../gen/vmagent/v1/agent_service.js';
import { onAbort } from '../../base/abort.js';
import { Bell } from '../../base/bell.js';
import type { Clock } from '../../base/clock.js';
import type { Logger } from '../../base/logger.js';
import { outputAcksFromProto, outputFrameToProto } from '../../wire/agent-protocol.js';
import type { OutputQueue } from '../output-queue.js';
import type { Channel } from './channel.js';
import { Duplex } from './duplex.js';

/** A stream that carries nothing is closed after this long. */
const IDLE_MS = 10_000;
/** Before the stream is opened again after an error. */
const REOPEN_MS = 500;

/** What {@link serveOutput} needs. */
export interface OutputStreamOptions {
  readonly channel: Channel;
  readonly queue: OutputQueue;
  readonly sessionGeneration: number;
  readonly clock: Clock;
  readonly log: Logger;
}

type OutputDuplex = Duplex<StreamOutputRequest, StreamOutputResponse>;

/** Sends output whenever there is some, over a stream that is opened on demand. Rejects when `signal` aborts. */
export async function serveOutput(options: OutputStreamOptions, signal: AbortSignal): Promise<void> {
  const { queue, clock } = options;
  const bell = new Bell(signal);
  using _ready = queue.ready.listen(() => bell.ring());
  for (;;) {
    bell.reset();
    if (!queue.hasWork) {
      await bell.wait();
      continue;
    }
    const failed = await carry(options, bell, signal);
    signal.throwIfAborted();
    queue.rewindAll();
    if (failed) await clock.sleep(REOPEN_MS, signal);
  }
}

/** One stream, until it was idle for a while or failed. Answers whether it failed. */
async function carry(options: OutputStreamOptions, bell: Bell, signal: AbortSignal): Promise<boolean> {
  const { channel, queue, sessionGeneration, log } = options;
  const call = channel.client.streamOutput(channel.metadata());
  const stream: OutputDuplex = new Duplex(call, (acks) => queue.acked(outputAcksFromProto(acks)));
  void stream.closed.then(() => bell.ring());
  using _stop = onAbort(signal, () => stream.cancel());
  try {
    await stream.write(outputFrameToProto({ type: 'open', sessionGeneration }));
    await pump(options, stream, bell, signal);
    stream.end();
    const end = await stream.closed;
    if (end !== undefined) log.warn('the output stream ended', { code: end.code, cause: end.details });
    return end !== undefined;
  } finally {
    stream.cancel();
  }
}

async function pump(
  { queue, clock }: OutputStreamOptions,
  stream: OutputDuplex,
  bell: Bell,
  signal: AbortSignal,
): Promise<void> {
  let idleSince = clock.monotonic();
  while (!stream.isClosed) {
    signal.throwIfAborted();
    bell.reset();
    const frame = queue.next();
    if (frame !== undefined) {
      idleSince = clock.monotonic();
      await stream.write(outputFrameToProto(frame));
      continue;
    }
    const idle = clock.monotonic() - idleSince >= IDLE_MS;
    if (idle && queue.inFlight === 0) return;
    using _timer = clock.after(IDLE_MS, () => bell.ring());
    await bell.wait();
  }
}
