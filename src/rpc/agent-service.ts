import type { AgentService } from '../../gen/vmagent/v1/agent_service.js';
import { mapAsync } from '../base/map-async.js';
import type { HubApi } from '../hub/api.js';
import {
  agentFrameFromProto,
  attachShellFromProto,
  hubFrameToProto,
  outputAcksToProto,
  outputFrameFromProto,
  shellInputToProto,
} from '../wire/agent-protocol.js';
import type { AgentCaller } from './admission.js';
import type { Handlers } from './call-context.js';

/** The service Agent: frames in, frames out; the hub's door does the rest. */
export function agentHandlers(hub: Pick<HubApi, 'door'>): Handlers<typeof AgentService, AgentCaller> {
  const { door } = hub;
  return {
    connect: ({ caller, signal }, requests) =>
      converse(requests, agentFrameFromProto, (frames) =>
        mapAsync(door.connect(caller.agentId, frames, signal), hubFrameToProto),
      ),
    streamOutput: ({ caller, signal }, requests) =>
      converse(requests, outputFrameFromProto, (frames) =>
        mapAsync(door.output(caller.agentId, frames, signal), outputAcksToProto),
      ),
    attachShell: ({ caller, signal }, requests) =>
      converse(requests, attachShellFromProto, (frames) =>
        mapAsync(door.attachShell(caller.agentId, frames, signal), shellInputToProto),
      ),
  };
}

/** Answers read messages. A message that cannot be read ends the call with its own error, whoever noticed first. */
async function* converse<Req, Frame, Res>(
  requests: AsyncIterable<Req>,
  read: (request: Req) => Frame,
  answer: (frames: AsyncIterable<Frame>) => AsyncIterable<Res>,
): AsyncIterableIterator<Res> {
  let unreadable: unknown;
  const frames = mapAsync(requests, (request) => {
    try {
      return read(request);
    } catch (err) {
      unreadable ??= err;
      throw err;
    }
  });
  try {
    yield* answer(frames);
  } catch (err) {
    throw unreadable ?? err;
  }
  if (unreadable !== undefined) throw unreadable;
}
