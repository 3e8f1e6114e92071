import { connect } from 'node:net';
import { untilAborted } from '../../../base/abort.js';
import { deferred } from '../../../base/deferred.js';
import { messageOf } from '../../../base/errno.js';
import { JsonSocket } from '../../../base/json-socket.js';
import { shortPath } from '../../../base/short-path.js';
import { HubError } from '../../../model/hub-error.js';

/** How long a guest may take to answer a message. */
const ANSWER_MS = 30_000;

/** A message on its way into a guest. */
export interface SentMessage extends Disposable {
  /** Resolves when the guest has done what it was told. @throws HubError VM_FAILED when it does not in time. */
  done(signal: AbortSignal): Promise<void>;
}

/**
 * Puts a message into the control channel of a machine, which may be paused: the guest finds it when it goes on. The
 * channel stays open until the message is disposed.
 *
 * @throws HubError VM_FAILED when the channel cannot be reached.
 */
export async function sendToGuest(path: string, message: { readonly type: string }): Promise<SentMessage> {
  using short = shortPath(path);
  const socket = connect(short.path);
  const connected = deferred();
  const done = deferred();
  done.promise.catch(() => {});
  const lost = (err: Error) => {
    connected.reject(err);
    done.reject(err);
  };
  socket.once('connect', () => connected.resolve());
  socket.once('error', lost);
  const json = new JsonSocket(socket, (answer) => {
    if (isDone(answer, message.type)) done.resolve();
  });
  void json.closed.then(() => lost(new Error('the machine closed its control channel')));
  try {
    await untilAborted(connected.promise, AbortSignal.timeout(ANSWER_MS));
  } catch (err) {
    json.close();
    throw failed(err);
  }
  json.send(message);
  return {
    done: (signal) => awaitDone(done.promise, signal),
    [Symbol.dispose]: () => json.close(),
  };
}

/** Lets a machine that runs make its file system as large as its disk. False when it does not answer. */
export async function growGuest(path: string, signal: AbortSignal): Promise<boolean> {
  try {
    using sent = await sendToGuest(path, { type: 'grow' });
    await sent.done(signal);
    return true;
  } catch {
    signal.throwIfAborted();
    return false;
  }
}

async function awaitDone(done: Promise<void>, signal: AbortSignal): Promise<void> {
  try {
    await untilAborted(done, AbortSignal.any([signal, AbortSignal.timeout(ANSWER_MS)]));
  } catch (err) {
    signal.throwIfAborted();
    throw failed(err);
  }
}

function failed(err: unknown): HubError {
  const late = err instanceof Error && err.name === 'TimeoutError';
  const why = late ? 'the agent in the machine does not answer' : messageOf(err);
  return new HubError('VM_FAILED', `the machine did not take up its new life: ${why}`, { cause: err });
}

/** What a guest says is not believed further than this. */
function isDone(answer: unknown, type: string): boolean {
  if (typeof answer !== 'object' || answer === null || !('type' in answer) || !('of' in answer)) return false;
  return answer.type === 'done' && answer.of === type;
}
