/** One segment of a path template. */
export type Segment =
  | { readonly kind: 'literal'; readonly text: string }
  | { readonly kind: 'one' }
  | { readonly kind: 'many' };

/** A part of the path that goes into a field: segments `from` (inclusive) to `to` (exclusive). */
export interface Capture {
  /** Dotted field path in proto names. */
  readonly field: string;
  readonly from: number;
  readonly to: number;
}

/** A parsed `google.api.http` path. */
export interface Template {
  readonly segments: readonly Segment[];
  readonly captures: readonly Capture[];
  /** Text behind the last colon; empty for none. */
  readonly verb: string;
}

/**
 * Parses `"/" Segments [":" Verb]`.
 *
 * @throws Error that names the template, when it does not follow the grammar.
 */
export function parseTemplate(text: string): Template {
  return new Parser(text).parse();
}

/** Segments of a template, and of a variable in it. */
const [TOP, INSIDE] = [/[^/{]*/y, /[^/}]*/y];
/** Characters of a path by RFC 3986. */
const LITERAL = /^(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})+$/;

class Parser {
  private readonly segments: Segment[] = [];
  private readonly captures: Capture[] = [];
  private at = 1;
  private readonly path: string;
  private readonly verb: string;

  constructor(private readonly text: string) {
    if (!text.startsWith('/')) throw this.error('must begin with "/"');
    const end = verbStart(text);
    this.path = text.slice(0, end);
    this.verb = text.slice(end + 1);
  }

  parse(): Template {
    if (this.path === '/') this.segments.push({ kind: 'literal', text: '' });
    else this.parseSegments(TOP);
    if (this.at < this.path.length && this.path !== '/')
      throw this.error(`has a stray "${this.path[this.at]}"`);
    if (this.segments.filter((segment) => segment.kind === 'many').length > 1) {
      throw this.error('has more than one "**"');
    }
    return { segments: this.segments, captures: this.captures, verb: this.verb };
  }

  /** @param word what a segment is made of here. */
  private parseSegments(word: RegExp): void {
    this.parseSegment(word);
    while (this.path[this.at] === '/') {
      this.at++;
      this.parseSegment(word);
    }
  }

  private parseSegment(pattern: RegExp): void {
    if (pattern === TOP && this.path[this.at] === '{') {
      this.parseVariable();
      return;
    }
    const word = this.take(pattern);
    if (word === '**') this.segments.push({ kind: 'many' });
    else if (word === '*') this.segments.push({ kind: 'one' });
    else if (!LITERAL.test(word)) throw this.error(`has a bad segment "${word}"`);
    else this.segments.push({ kind: 'literal', text: word });
  }

  private parseVariable(): void {
    this.at++;
    const field = this.take(/[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*/y);
    if (field === '') throw this.error('has a variable without a field');
    const from = this.segments.length;
    if (this.path[this.at] === '=') {
      this.at++;
      this.parseSegments(INSIDE);
    } else {
      this.segments.push({ kind: 'one' });
    }
    if (this.path[this.at] !== '}') throw this.error('has a variable that is not closed');
    this.at++;
    this.captures.push({ field, from, to: this.segments.length });
  }

  private take(pattern: RegExp): string {
    pattern.lastIndex = this.at;
    const word = pattern.exec(this.path)?.[0] ?? '';
    this.at += word.length;
    return word;
  }

  private error(why: string): Error {
    return new Error(`path template "${this.text}" ${why}`);
  }
}

/** Where the colon of the verb stands, or the length. A literal may hold earlier colons. */
function verbStart(text: string): number {
  const brace = text.lastIndexOf('}');
  const slash = text.lastIndexOf('/');
  const colon = brace > slash ? text.indexOf(':', brace) : text.indexOf(':', slash);
  const last = brace > slash ? colon : text.lastIndexOf(':');
  return colon < 0 ? text.length : last;
}
