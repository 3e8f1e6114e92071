import type { WatchEventsRequest } from '../../gen/vmagent/v1/hub_service.js';
import type { Event as ProtoEvent } from '../../gen/vmagent/v1/log.js';
import type { HubEvent } from '../model/event.js';
import { decodeCursor } from './pages.js';
import { timestampFromMs } from './time.js';
import { Violations } from './violations.js';

const TYPE_LIMITS = { items: 32, characters: 63 };

/** An event, as a message. */
export function eventToProto(event: HubEvent): ProtoEvent {
  const { type, agent, task, state, reason, message } = event;
  const time = timestampFromMs(event.atMs);
  return { cursor: String(event.sequence), time, type, agent, task, state, reason, message };
}

/**
 * Reads and checks which events to answer.
 *
 * @throws HubError INVALID_FIELD naming every bad field.
 */
export function eventQueryFromProto(proto: WatchEventsRequest) {
  const found = new Violations();
  if (proto.agent !== '') found.name('agent', proto.agent);
  if (proto.task !== '') found.id('task', proto.task);
  found.list('types', proto.types, TYPE_LIMITS);
  found.throwIfAny();
  const after = decodeCursor(proto.cursor);
  return {
    ...(after === undefined ? {} : { after }),
    ...(proto.agent === '' ? {} : { agent: proto.agent }),
    ...(proto.task === '' ? {} : { task: proto.task }),
    types: proto.types,
  };
}
