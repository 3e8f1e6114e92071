import type { IncomingMessage } from 'node:http';
import type { CallContext } from './call-context.js';
import { findField } from './fields.js';
import { parseQuery } from './query.js';

/** The id of the last event of a stream that ended without having told a position. */
export const END_ID = '~end';

/** Parameter that libraries send in place of the header `Last-Event-ID`. */
const QUERY_NAME = 'lastEventId';

/** Where a reader of events wants to begin. */
export type Resume =
  | { readonly kind: 'begin' }
  /** Behind this position. */
  | { readonly kind: 'after'; readonly position: string }
  /** It has seen the end, and only asks because browsers always do. */
  | { readonly kind: 'over' };

/** Whether the client asked for server-sent events. */
export function wantsEvents(req: IncomingMessage): boolean {
  return accepts(req, 'text/event-stream');
}

/** Whether the client names a media type in `Accept`. */
export function accepts(req: IncomingMessage, type: string): boolean {
  const named = (req.headers.accept ?? '').split(',').map((one) => one.split(';')[0]?.trim().toLowerCase());
  return named.includes(type);
}

/** Where the events of a request are to begin. */
export function resumeOf(ctx: Pick<CallContext, 'req' | 'binding' | 'cursor' | 'parts'>): Resume {
  if (!wantsEvents(ctx.req)) return { kind: 'begin' };
  const id = lastEventId(ctx);
  if (id === END_ID) return { kind: 'over' };
  return id === '' || ctx.cursor === undefined ? { kind: 'begin' } : { kind: 'after', position: id };
}

/** The same call with its request field set to the position, whatever body and query say. */
export function resumed(ctx: CallContext, resume: Resume): Pick<CallContext, 'binding' | 'parts'> {
  const { binding, parts, cursor } = ctx;
  if (resume.kind !== 'after' || cursor === undefined) return { binding, parts };
  return {
    binding: { ...binding, taken: [...binding.taken, cursor.request] },
    parts: { ...parts, params: new Map([...parts.params, [cursor.request, resume.position]]) },
  };
}

function lastEventId({ req, binding, parts }: Pick<CallContext, 'req' | 'binding' | 'parts'>): string {
  const header = req.headers['last-event-id'];
  // Browsers send it as UTF-8; Node.js reads headers as latin1.
  if (typeof header === 'string' && header !== '') return Buffer.from(header, 'latin1').toString('utf8');
  if (!parts.query.includes(QUERY_NAME) || findField(binding.method.input, QUERY_NAME)) return '';
  return parseQuery(parts.query).get(QUERY_NAME)?.[0] ?? '';
}
