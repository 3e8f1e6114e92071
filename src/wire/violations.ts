import { HubError } from '../model/hub-error.js';
import { ID_PATTERN, NAME_PATTERN } from '../model/names.js';

/** Limits of a list of texts. */
export interface ListLimits {
  readonly items: number;
  /** Most characters of one item. */
  readonly characters: number;
}

/** Limits of an object of texts. */
export interface MapLimits {
  readonly entries: number;
  readonly keyCharacters: number;
  readonly valueCharacters: number;
}

const NAME_RULE = '1 to 63 characters a-z, 0-9 and -, beginning and ending with a letter or digit';
const ID_RULE = '1 to 128 characters A-Z, a-z, 0-9, ".", "_", ":" and "-", beginning with a letter or digit';

/**
 * Collects what is wrong with a request, so that one answer names all of it. The `check` methods answer nothing;
 * call {@link throwIfAny} when all fields were looked at.
 */
export class Violations {
  private readonly found = new Map<string, string>();

  /** Records a bad field. The first finding about a field stays. */
  add(field: string, description: string): void {
    if (!this.found.has(field)) this.found.set(field, description);
  }

  /** A text without NUL of at most so many bytes; it may be empty. */
  text(field: string, value: string, maxBytes: number): void {
    if (value.includes('\0')) this.add(field, 'must not contain NUL characters');
    if (Buffer.byteLength(value) > maxBytes) this.add(field, `at most ${maxBytes} bytes`);
  }

  /** As {@link text}, and not empty. */
  required(field: string, value: string, maxBytes: number): void {
    if (value.trim() === '') this.add(field, 'is required and must not be empty');
    this.text(field, value, maxBytes);
  }

  /** A name of an agent, machine or snapshot. */
  name(field: string, value: string): void {
    if (!NAME_PATTERN.test(value)) this.add(field, value === '' ? `is required: ${NAME_RULE}` : NAME_RULE);
  }

  /** An id of a task or a name of a lane. */
  id(field: string, value: string): void {
    if (!ID_PATTERN.test(value)) this.add(field, value === '' ? `is required: ${ID_RULE}` : ID_RULE);
  }

  /** A whole number between two limits. */
  number(field: string, value: number, min: number, max: number): void {
    if (!Number.isInteger(value) || value < min || value > max) this.add(field, `${min} to ${max}`);
  }

  /** One of a closed set of texts. */
  oneOf(field: string, value: string, allowed: readonly string[]): void {
    if (!allowed.includes(value)) this.add(field, `one of ${allowed.join(', ')}`);
  }

  /** A list of short texts, none of them empty. */
  list(field: string, values: readonly string[], limits: ListLimits): void {
    if (values.length > limits.items) this.add(field, `at most ${limits.items} items`);
    if (values.some((v) => v === '' || v.length > limits.characters || v.includes('\0')))
      this.add(field, `each item 1 to ${limits.characters} characters without NUL`);
  }

  /** An object of short texts. */
  map(field: string, values: Readonly<Record<string, string>>, limits: MapLimits): void {
    const entries = Object.entries(values);
    const { keyCharacters, valueCharacters } = limits;
    if (entries.length > limits.entries) this.add(field, `at most ${limits.entries} entries`);
    if (entries.some(([key]) => key === '' || key.length > keyCharacters || key.includes('\0')))
      this.add(field, `each name 1 to ${keyCharacters} characters without NUL`);
    if (entries.some(([, value]) => value.length > valueCharacters || value.includes('\0')))
      this.add(field, `each value at most ${valueCharacters} characters without NUL`);
  }

  /** @throws HubError INVALID_FIELD with every bad field. */
  throwIfAny(): void {
    if (this.found.size === 0) return;
    throw HubError.invalid(...[...this.found].map(([field, description]) => ({ field, description })));
  }
}

/** Checks one thing and throws when it is wrong. */
export function check(look: (found: Violations) => void): void {
  const found = new Violations();
  look(found);
  found.throwIfAny();
}
