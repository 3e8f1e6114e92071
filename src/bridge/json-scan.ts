import { goQuote } from './go-quote.js';

/** JSON that is not well formed, or too deep. The message is that of Go's encoding/json where it has one. */
export class JsonSyntaxError extends Error {
  override readonly name = 'JsonSyntaxError';

  /** @param at where the text goes wrong. */
  constructor(
    message: string,
    readonly at: number,
  ) {
    super(message);
  }
}

/** Deepest nesting of objects and arrays in a body. */
export const MAX_JSON_DEPTH = 32;

/**
 * Finds the end of the first JSON value of a text, checking its form and its depth. What stands behind it is not
 * looked at.
 *
 * @returns where the value starts and ends, or undefined when the text is blank.
 * @throws JsonSyntaxError.
 */
export function scanJson(
  text: string,
  maxDepth = MAX_JSON_DEPTH,
): { start: number; end: number } | undefined {
  const scanner = new Scanner(text, maxDepth);
  const start = scanner.skipSpace();
  if (start === text.length) return undefined;
  scanner.value(0);
  return { start, end: scanner.at };
}

class Scanner {
  at = 0;

  constructor(
    private readonly text: string,
    private readonly maxDepth: number,
  ) {}

  skipSpace(): number {
    this.match(/[ \t\r\n]*/y);
    return this.at;
  }

  value(depth: number): void {
    if (depth > this.maxDepth)
      throw new JsonSyntaxError(`JSON is nested deeper than ${this.maxDepth} levels`, this.at);
    const first = this.text[this.at];
    if (first === '{') this.object(depth);
    else if (first === '[') this.array(depth);
    else if (first === '"') this.string();
    else if (first === 't') this.literal('true');
    else if (first === 'f') this.literal('false');
    else if (first === 'n') this.literal('null');
    else if (first !== undefined && /[-0-9]/.test(first)) this.number();
    else this.fail('looking for beginning of value');
  }

  private object(depth: number): void {
    this.at++;
    this.skipSpace();
    if (this.text[this.at] === '}') {
      this.at++;
      return;
    }
    for (;;) {
      this.member(depth);
      if (this.closes('}', 'after object key:value pair')) return;
    }
  }

  private member(depth: number): void {
    if (this.text[this.at] !== '"') this.fail('looking for beginning of object key string');
    this.string();
    this.skipSpace();
    if (this.text[this.at] !== ':') this.fail('after object key');
    this.at++;
    this.skipSpace();
    this.value(depth + 1);
  }

  private array(depth: number): void {
    this.at++;
    this.skipSpace();
    if (this.text[this.at] === ']') {
      this.at++;
      return;
    }
    for (;;) {
      this.value(depth + 1);
      if (this.closes(']', 'after array element')) return;
    }
  }

  private closes(bracket: string, where: string): boolean {
    this.skipSpace();
    const next = this.text[this.at];
    if (next !== bracket && next !== ',') this.fail(where);
    this.at++;
    if (next === ',') this.skipSpace();
    return next === bracket;
  }

  private string(): void {
    this.at++;
    for (;;) {
      // biome-ignore lint/suspicious/noControlCharactersInRegex: JSON forbids them inside strings
      this.match(/[^"\\\u0000-\u001f]*/y);
      const next = this.text[this.at];
      if (next === '"') break;
      if (next !== '\\') this.fail('in string literal');
      this.at++;
      this.escape();
    }
    this.at++;
  }

  private escape(): void {
    const kind = this.text[this.at];
    if (kind === undefined || !'"\\/bfnrtu'.includes(kind)) this.fail('in string escape code');
    this.at++;
    if (kind !== 'u') return;
    for (let i = 0; i < 4; i++, this.at++) {
      if (!/[0-9a-fA-F]/.test(this.text[this.at] ?? '')) this.fail('in \\u hexadecimal character escape');
    }
  }

  private number(): void {
    if (this.text[this.at] === '-') this.at++;
    if (this.text[this.at] === '0') this.at++;
    else this.digits('in numeric literal');
    if (this.text[this.at] === '.') {
      this.at++;
      this.digits('after decimal point in numeric literal');
    }
    if (this.text[this.at] === 'e' || this.text[this.at] === 'E') {
      this.at++;
      this.match(/[+-]?/y);
      this.digits('in exponent of numeric literal');
    }
  }

  private digits(where: string): void {
    if (this.match(/[0-9]*/y) === 0) this.fail(where);
  }

  private literal(word: string): void {
    for (let i = 0; i < word.length; i++, this.at++) {
      if (this.text[this.at] !== word[i]) this.fail(`in literal ${word} (expecting '${word[i]}')`);
    }
  }

  /** Skips what a sticky pattern matches and answers its length. */
  private match(pattern: RegExp): number {
    pattern.lastIndex = this.at;
    const length = pattern.exec(this.text)?.[0].length ?? 0;
    this.at += length;
    return length;
  }

  private fail(where: string): never {
    const found = this.text.codePointAt(this.at);
    if (found === undefined) throw new JsonSyntaxError('unexpected EOF', this.at);
    throw new JsonSyntaxError(`invalid character ${quoteCharacter(found)} ${where}`, this.at);
  }
}

/** Go looks at bytes: of a character outside ASCII it quotes the first byte. */
function quoteCharacter(code: number): string {
  if (code === 0x27) return "'\\''";
  if (code === 0x22) return "'\"'";
  if (code < 0x80) return `'${goQuote(String.fromCharCode(code)).slice(1, -1)}'`;
  const first =
    code >= 0xdc80 && code <= 0xdcff ? code - 0xdc00 : (Buffer.from(String.fromCodePoint(code))[0] ?? 0);
  return `'${goQuote(String.fromCharCode(first)).slice(1, -1)}'`;
}
