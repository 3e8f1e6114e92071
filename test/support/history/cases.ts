import { isTerminal, TASK_STATES, type TaskState } from '../../../src/model/task.js';
import type { Evidence, History, Piece, TaskPlan, TaskView } from './evidence.js';

/** What was observed of a task, with the position in the history at which it was. */
export interface Observed<T> {
  readonly at: number;
  readonly what: T;
}

type Told = Extract<Evidence, { type: 'told' }>;
type Alive = Extract<Evidence, { type: 'alive' }>;

/** All evidence about one task. */
export class TaskCase {
  readonly ids = new Set<string>();
  readonly markers: number[] = [];
  readonly seen: Observed<TaskView>[] = [];
  readonly told: Observed<Told>[] = [];
  readonly alive: Observed<Alive>[] = [];
  readonly shown: Piece[] = [];
  readonly stored: Piece[] = [];
  rejected: string | undefined;
  acceptedAt: number | undefined;
  missingAt: number | undefined;
  /** States other than an end that a read showed which was begun after the end had been observed. */
  readonly stale: string[] = [];
  cancelled = false;

  constructor(readonly plan: TaskPlan) {}

  get accepted(): boolean {
    return this.acceptedAt !== undefined;
  }

  /** The task as it was seen last. */
  get last(): TaskView | undefined {
    return this.seen.at(-1)?.what;
  }

  /** Position at which its end was first observed. */
  get endedAt(): number | undefined {
    const seen = this.seen.find(({ what }) => isTerminal(what.state))?.at;
    const told = this.told.find(({ what }) => isTerminal(stateOf(what.state)))?.at;
    return seen === undefined || told === undefined ? (seen ?? told) : Math.min(seen, told);
  }

  /** Attempts of which a marker or output is there, in order. */
  get attempts(): readonly number[] {
    const numbers = [...this.markers, ...this.stored.map(({ attempt }) => attempt)];
    return [...new Set(numbers)].sort((a, b) => a - b);
  }
}

/** The evidence by task; what belongs to no task that was posted is `strange`. */
export interface Cases {
  readonly byName: ReadonlyMap<string, TaskCase>;
  readonly strange: readonly string[];
}

/** Sorts a history by task. */
export function casesOf(history: History): Cases {
  const byName = new Map<string, TaskCase>();
  const byId = new Map<string, TaskCase>();
  const strange: string[] = [];
  for (const item of history.evidence) {
    if (item.type === 'posted' && !byName.has(item.plan.name))
      byName.set(item.plan.name, new TaskCase(item.plan));
    if (item.type === 'accepted') bind(byName.get(item.name), item.id, byId, strange);
  }
  history.evidence.forEach((item, at) => {
    const found = 'name' in item ? byName.get(item.name) : byId.get(idOf(item));
    if (found) note(found, item, at);
    else if (item.type !== 'posted')
      strange.push(`${item.type} of ${'name' in item ? item.name : idOf(item)}`);
  });
  return { byName, strange };
}

/** A state as the API writes it. */
export function stateOf(text: string): TaskState {
  const state = TASK_STATES.find((known) => known === text);
  if (state === undefined) throw new Error(`there is no state ${JSON.stringify(text)}`);
  return state;
}

function bind(found: TaskCase | undefined, id: string, byId: Map<string, TaskCase>, strange: string[]): void {
  const other = byId.get(id);
  if (!found) return;
  found.ids.add(id);
  if (other && other !== found)
    strange.push(`id ${id} is that of ${other.plan.name} and of ${found.plan.name}`);
  else byId.set(id, found);
}

function idOf(item: Evidence): string {
  if ('id' in item) return item.id;
  if ('piece' in item) return item.piece.id;
  return 'view' in item ? item.view.id : '';
}

function note(found: TaskCase, item: Evidence, at: number): void {
  switch (item.type) {
    case 'accepted':
      found.acceptedAt ??= at;
      break;
    case 'rejected':
      found.rejected = item.reason;
      break;
    case 'cancelled':
      found.cancelled = true;
      break;
    case 'seen':
      found.seen.push({ at, what: item.view });
      if (item.ended && !isTerminal(item.view.state)) found.stale.push(item.view.state);
      break;
    case 'missing':
      found.missingAt ??= at;
      break;
    case 'told':
      found.told.push({ at, what: item });
      break;
    case 'marker':
      found.markers.push(item.attempt);
      break;
    case 'alive':
      found.alive.push({ at, what: item });
      break;
    case 'shown':
      found.shown.push(item.piece);
      break;
    case 'stored':
      found.stored.push(item.piece);
      break;
    default:
      break;
  }
}
