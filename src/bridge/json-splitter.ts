/**
 * Cuts a run of JSON objects into its objects as their text comes in. It only counts brackets; whether an object
 * is well formed is for the parser. Anything that does not begin with `{` is held back until the end.
 */
export class JsonSplitter {
  private buffer = '';
  private at = 0;
  private depth = 0;
  private inString = false;

  /** Adds text and answers the objects that are complete now. */
  push(text: string): string[] {
    this.buffer += text;
    const complete: string[] = [];
    for (; this.at < this.buffer.length; this.at++) {
      if (!this.step(this.buffer[this.at] ?? '')) continue;
      complete.push(this.buffer.slice(0, this.at + 1));
      this.buffer = this.buffer.slice(this.at + 1);
      this.at = -1;
    }
    return complete;
  }

  /** What is left at the end of the text. */
  rest(): string {
    return this.buffer;
  }

  /** Looks at one character; true when an object ends with it. */
  private step(char: string): boolean {
    if (this.inString) {
      if (char === '\\') this.at++;
      else if (char === '"') this.inString = false;
      return false;
    }
    if (char === '"') this.inString = true;
    else if (char === '{' || char === '[') this.depth++;
    else if (char === '}' || char === ']')
      return --this.depth <= 0 && this.buffer.trimStart().startsWith('{');
    return false;
  }
}
