/** Where the splitter stands: between values, in an object or array, in a string, behind a `\`, in anything else. */
type State = 'between' | 'nested' | 'string' | 'escape' | 'bare';

/** What may change the state, by the state. */
const STOPS = {
  between: /[^ \t\r\n]/g,
  nested: /["{}[\]]/g,
  string: /["\\]/g,
  escape: /./gs,
  bare: /[ \t\r\n{["]/g,
} as const;

/**
 * Cuts a run of JSON values into its values as their text comes in. It only counts brackets; whether a value is
 * well formed is for the parser. Each character is looked at once, however the text is cut.
 */
export class JsonSplitter {
  /** Texts of the value that is not complete yet. */
  private held: string[] = [];
  private state: State = 'between';
  private depth = 0;

  /** Adds text and answers the values that are complete now. */
  push(text: string): string[] {
    const complete: string[] = [];
    let from = 0;
    for (let at = 0; at < text.length; ) {
      const wasBetween = this.state === 'between';
      const found = this.find(text, at);
      if (wasBetween) from = found;
      at = found < text.length ? this.step(text[found] ?? '', found) : found;
      if (this.state !== 'between' || wasBetween) continue;
      complete.push(this.held.join('') + text.slice(from, at));
      this.held = [];
      from = at;
    }
    if (this.state !== 'between') this.held.push(text.slice(from));
    return complete;
  }

  /** What is left at the end of the text: a value that is not complete, or a bare one. */
  rest(): string {
    return this.held.join('');
  }

  private find(text: string, at: number): number {
    const stop = STOPS[this.state];
    stop.lastIndex = at;
    return stop.exec(text)?.index ?? text.length;
  }

  /** Looks at a character that was found and answers where to go on. */
  private step(char: string, at: number): number {
    if (this.state === 'between') return this.begin(char, at);
    if (this.state === 'bare') {
      this.state = 'between';
      return at;
    }
    if (this.state === 'escape') this.state = 'string';
    else if (this.state === 'string') this.state = char === '\\' ? 'escape' : this.outside();
    else this.count(char);
    return at + 1;
  }

  private begin(char: string, at: number): number {
    this.depth = 0;
    if (char === '"') this.state = 'string';
    else this.state = char === '{' || char === '[' ? 'nested' : 'bare';
    return this.state === 'nested' ? at : at + 1;
  }

  private count(char: string): void {
    if (char === '"') this.state = 'string';
    else this.depth += char === '{' || char === '[' ? 1 : -1;
    if (this.depth === 0) this.state = 'between';
  }

  private outside(): State {
    return this.depth > 0 ? 'nested' : 'between';
  }
}
