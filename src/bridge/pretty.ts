import type { IncomingMessage } from 'node:http';
import type { DescMessage } from '@bufbuild/protobuf';
import { findField } from './fields.js';

const ASKED = /[?&]pretty(=(1|true)?)?(&|#|$)/;
const TYPE = 'application/json+pretty';

const ownPretty = new WeakSet<IncomingMessage>();

/** Tells that the request's message may have a field `pretty` of its own, which then is what the query means. */
export function setsFields(req: IncomingMessage, message: DescMessage): void {
  if (req.url?.includes('pretty') && findField(message, 'pretty') !== undefined) ownPretty.add(req);
}

/** Whether the client wants JSON for people: by `?pretty`, or by `Accept: application/json+pretty`. */
export function wantsPretty(req: IncomingMessage): boolean {
  if (req.headers.accept?.includes(TYPE)) return true;
  return req.url?.includes('pretty') === true && ASKED.test(req.url) && !ownPretty.has(req);
}

/** Characters of white space that a text may gain: what is nested deep could become hundreds of times as long. */
const MOST_SPACE = 16 * 1024 * 1024;

/**
 * JSON with a member or item a line, as far as {@link MOST_SPACE} goes. Nothing but white space changes, not even how
 * numbers are written.
 */
export function indentJson(json: string): string {
  let depth = 0;
  let left = MOST_SPACE;
  const line = () => {
    const space = `\n${'  '.repeat(depth)}`;
    left -= space.length;
    return left < 0 ? '' : space;
  };
  return json.replace(TOKEN, (token, at: number) => {
    if (token === '{' || token === '[') {
      depth++;
      return token + line();
    }
    if (token === '}' || token === ']') {
      depth--;
      return line() + token;
    }
    if (token === ',') return token + line();
    if (token === ':') return ': ';
    if (token.startsWith('"')) return token;
    // Empty objects and arrays without their space; other space only behind the end.
    return at + token.length === json.length && token.trim() === '' ? token : token.replace(/\s+/g, '');
  });
}

/** A string, an empty object or array, white space, or one of the signs between values. */
const TOKEN = /"(?:[^"\\]|\\.)*"|\{\s*\}|\[\s*\]|\s+|[{}[\],:]/g;
