/** Kinds of events. */
export type EventType =
  | 'task.queued'
  | 'task.dispatched'
  | 'task.running'
  | 'task.ended'
  | 'agent.created'
  | 'agent.online'
  | 'agent.offline'
  | 'agent.destroyed'
  | 'vm.stage'
  | 'vm.state'
  /** The hub ends a machine by its ttl or because it is idle, or could not. */
  | 'vm.expire';

/** Something that happened, before it has its place in the order. */
export interface NewEvent {
  readonly type: EventType;
  readonly atMs: number;
  readonly agent: string;
  readonly task: string;
  readonly state: string;
  readonly reason: string;
  readonly message: string;
}

/** Something that happened, in the order of the commits. */
export interface HubEvent extends NewEvent {
  /** Position, grows. */
  readonly sequence: number;
}
