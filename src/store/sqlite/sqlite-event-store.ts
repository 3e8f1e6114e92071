import type { EventStore } from '../../hub/store.js';
import type { HubEvent, NewEvent } from '../../model/event.js';
import type { EventLog } from './event-log.js';
import type { GroupCommit } from './group-commit.js';

/** Events in SQLite. */
export class SqliteEventStore implements EventStore {
  constructor(
    private readonly commits: GroupCommit,
    private readonly log: EventLog,
  ) {}

  append(event: NewEvent): Promise<HubEvent> {
    return this.commits.write(() => this.log.append(event));
  }

  read(after: number, limit: number): Promise<readonly HubEvent[]> {
    return this.commits.read(() => this.log.read(after, limit));
  }

  last(): Promise<number> {
    return this.commits.read(() => this.log.last);
  }

  count(): Promise<number> {
    return this.commits.read(() => this.log.count());
  }

  trim(keep: number): Promise<void> {
    return this.commits.write(() => this.log.trim(keep));
  }

  listen(fn: () => void): Disposable {
    return this.log.wakeups.listen(fn);
  }
}
