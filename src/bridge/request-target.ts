import { unescapeBytes } from './percent.js';

/** The target of a request, in bytes as received. */
export interface RequestTarget {
  /** Host of a target that is a whole URL; empty for others. */
  readonly host: string;
  /** Still escaped. Does not begin with "/" when the target has no path. */
  readonly path: string;
  /** Without the question mark. */
  readonly query: string;
}

/** Takes a target apart as Go does: `/path?query`, a whole URL, or what is neither. */
export function parseTarget(url: string): RequestTarget {
  const mark = url.indexOf('?');
  const rest = mark < 0 ? url : url.slice(0, mark);
  const query = mark < 0 ? '' : url.slice(mark + 1);
  if (rest.startsWith('/')) return { host: '', path: rest, query };
  const [, afterScheme] = /^[A-Za-z][A-Za-z0-9+.-]*:(.*)$/s.exec(rest) ?? [];
  if (afterScheme === undefined) return { host: '', path: rest, query };
  if (!afterScheme.startsWith('/')) return { host: '', path: '', query };
  const [, authority = '', path = afterScheme] = /^\/\/([^/]*)(.*)$/s.exec(afterScheme) ?? [];
  return { host: authority.slice(authority.lastIndexOf('@') + 1), path, query };
}

/** A path in the two forms in which routes are looked for. */
export interface RequestPath {
  /** Unescaped. */
  readonly plain: string;
  /** As received, when it is not how Go would escape `plain`; else empty. */
  readonly raw: string;
}

/** Unescapes a path. @throws EscapeError. */
export function unescapePath(path: string): RequestPath {
  if (/^[A-Za-z0-9$&+,/:;=@._~-]*$/.test(path)) return { plain: path, raw: '' };
  const plain = unescapeBytes(path);
  return { plain, raw: escapePath(plain) === path ? '' : path };
}

function escapePath(plain: string): string {
  return plain.replace(/[^A-Za-z0-9$&+,/:;=@._~-]/g, (char) => {
    return `%${char.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`;
  });
}
