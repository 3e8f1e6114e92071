import { hasBadUtf8 } from './percent.js';

/** A place in a JSON text that is not as it must be. */
export interface JsonPlace {
  readonly line: number;
  /** In characters, the first is 1. */
  readonly column: number;
}

/** What stands at a place: the first character tells what it is. */
export type JsonKind = '{' | '}' | '[' | ']' | '"' | '0' | 't' | 'f' | 'n' | ',' | ':' | '';

const WORD = /[-+.\w]{1,32}|./suy;
const NUMBER = /-?\d[-+.eE\d]*/y;

/** Reads a JSON text whose form has been checked (see `json-scan.ts`), piece by piece. */
export class JsonReader {
  /** Where the piece begins that was read last. */
  start = 0;
  private at = 0;

  constructor(readonly text: string) {
    this.skipSpace();
  }

  /** What comes next. */
  peek(): JsonKind {
    const char = this.text[this.at];
    if (char === undefined) return '';
    return char === '-' || (char >= '0' && char <= '9') ? '0' : (char as JsonKind);
  }

  /** Goes over one character, such as a bracket, and the space behind it. */
  skip(): void {
    this.start = this.at++;
    this.skipSpace();
  }

  /** The text of a number, `true`, `false` or `null`. */
  word(): string {
    this.start = this.at;
    const pattern = this.peek() === '0' ? NUMBER : WORD;
    pattern.lastIndex = this.at;
    const word = pattern.exec(this.text)?.[0] ?? '';
    this.at += word.length;
    this.skipSpace();
    return word;
  }

  /** A string, decoded; undefined when it is not Unicode. */
  string(): string | undefined {
    this.start = this.at;
    const literal = this.literal();
    this.skipSpace();
    const inner = literal.slice(1, -1);
    const value: string = inner.includes('\\') ? JSON.parse(literal) : inner;
    return hasBadUtf8(value) || hasBadUtf8(inner) ? undefined : value;
  }

  /** Goes over a whole value. False when a string in it is not Unicode; that is the piece read last then. */
  skipValue(): boolean {
    let [open, isText, bad] = [0, true, 0];
    do {
      const kind = this.peek();
      if (kind === '{' || kind === '[') open++;
      else if (kind === '}' || kind === ']') open--;
      if (kind === '"') {
        const isGood = this.string() !== undefined;
        if (isText && !isGood) bad = this.start;
        isText &&= isGood;
      } else if ('{}[],:'.includes(kind)) this.skip();
      else this.word();
    } while (open > 0);
    if (!isText) this.start = bad;
    return isText;
  }

  /** The piece that begins at a place as it is written, such as `{`, `12` or `"a"`. */
  rawAt(at: number): string {
    if (this.text[at] === '"') return this.literalAt(at);
    WORD.lastIndex = at;
    return WORD.exec(this.text)?.[0] ?? '';
  }

  /** Another reader of the same text at the same place. */
  fork(): JsonReader {
    const copy = new JsonReader(this.text);
    copy.at = this.at;
    return copy;
  }

  /** Where the next piece begins. */
  get position(): number {
    return this.at;
  }

  place(at: number): JsonPlace {
    const before = this.text.slice(0, at).split('\n');
    return { line: before.length, column: [...(before.at(-1) ?? '')].length + 1 };
  }

  private literal(): string {
    const literal = this.literalAt(this.at);
    this.at += literal.length;
    return literal;
  }

  private literalAt(start: number): string {
    let end = start + 1;
    for (; this.text[end] !== '"'; end++) if (this.text[end] === '\\') end++;
    return this.text.slice(start, end + 1);
  }

  private skipSpace(): void {
    for (; this.at < this.text.length; this.at++) {
      const code = this.text.charCodeAt(this.at);
      if (code !== 32 && code !== 10 && code !== 13 && code !== 9) return;
    }
  }
}
