import { Bell } from '../base/bell.js';
import type { HubEvent } from '../model/event.js';
import type { EventQuery, EventsApi } from './api.js';
import type { HubContext } from './context.js';

/** Events read at once. */
const PAGE = 500;

/** Answers events from a position on and follows them. Readers read the store themselves: nothing queues. */
export class EventReader implements EventsApi {
  constructor(private readonly ctx: HubContext) {}

  last(): Promise<number> {
    return this.ctx.store.events.last();
  }

  async *watch(query: EventQuery, signal: AbortSignal): AsyncIterable<HubEvent> {
    const { events } = this.ctx.store;
    const bell = new Bell(signal);
    using _ = events.listen(() => bell.ring());
    let after = query.after ?? (await events.last());
    for (;;) {
      bell.reset();
      const page = await events.read(after, PAGE);
      for (const event of page) {
        after = event.sequence;
        if (wanted(query, event)) yield event;
      }
      if (page.length < PAGE) await bell.wait();
    }
  }
}

function wanted(query: EventQuery, event: HubEvent): boolean {
  if (query.agent !== undefined && query.agent !== event.agent) return false;
  if (query.task !== undefined && query.task !== event.task) return false;
  if (query.types.length === 0) return true;
  return query.types.some((type) => event.type === type || event.type.startsWith(`${type}.`));
}
