import type { FieldViolation } from '../../model/hub-error.js';

/** Reads the fields of a JSON object and collects what is wrong with them, each by its path. */
export class JsonFields {
  private readonly values: Readonly<Record<string, unknown>>;

  /** @param known Fields that there may be; all when left out. */
  constructor(
    private readonly path: string,
    value: unknown,
    known?: readonly string[],
    readonly problems: FieldViolation[] = [],
  ) {
    this.values = isObject(value) ? value : {};
    if (!isObject(value)) this.problems.push({ field: path || 'file', description: 'must be a JSON object' });
    for (const key of Object.keys(this.values)) {
      if (known && !known.includes(key)) this.bad(key, `is not known; there are ${known.join(', ')}`);
    }
  }

  /** Records a bad field. */
  bad(key: string, description: string): void {
    this.problems.push({ field: this.pathOf(key), description });
  }

  keys(): readonly string[] {
    return Object.keys(this.values);
  }

  /** A text without NUL; required when there is no `fallback`. */
  text(key: string, maxBytes: number, fallback?: string): string {
    const value = Object.hasOwn(this.values, key) ? this.values[key] : fallback;
    if (typeof value === 'string' && Buffer.byteLength(value) <= maxBytes && !value.includes('\0'))
      return value;
    this.bad(key, value === undefined ? 'is required' : `a text of at most ${maxBytes} bytes without NUL`);
    return '';
  }

  /** A whole number; undefined when it is missing. */
  number(key: string, min: number, max: number): number | undefined {
    const value = this.values[key];
    if (value === undefined) return undefined;
    if (typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max) return value;
    this.bad(key, `a whole number from ${min} to ${max}`);
    return undefined;
  }

  /** A list of texts; empty when it is missing. */
  texts(key: string, maxItems: number, maxBytes: number): readonly string[] {
    return this.list(key, maxItems).flatMap((item, i) => {
      if (typeof item === 'string' && Buffer.byteLength(item) <= maxBytes) return [item];
      this.bad(`${key}[${i}]`, `a text of at most ${maxBytes} bytes`);
      return [];
    });
  }

  /** An object; empty when it is missing. */
  object(key: string, known?: readonly string[]): JsonFields {
    return new JsonFields(this.pathOf(key), this.values[key] ?? {}, known, this.problems);
  }

  /** A list of objects; empty when it is missing. */
  objects(key: string, maxItems: number, known: readonly string[]): readonly JsonFields[] {
    const path = this.pathOf(key);
    return this.list(key, maxItems).map(
      (item, i) => new JsonFields(`${path}[${i}]`, item, known, this.problems),
    );
  }

  private list(key: string, maxItems: number): readonly unknown[] {
    const value = this.values[key] ?? [];
    if (Array.isArray(value) && value.length <= maxItems) return value;
    this.bad(key, `an array of at most ${maxItems} items`);
    return [];
  }

  private pathOf(key: string): string {
    return this.path === '' ? key : `${this.path}.${key}`;
  }
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
