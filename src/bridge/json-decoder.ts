import { create, type DescField, type DescMessage, type Registry } from '@bufbuild/protobuf';
import { type ReflectMessage, reflect } from '@bufbuild/protobuf/reflect';
import { GatewayError } from './gateway-error.js';
import { goQuote } from './go-quote.js';
import {
  describePiece,
  type JsonErrorStyle,
  type JsonFault,
  jsonError,
  PROTO,
  pathText,
  unknownFields,
} from './json-error.js';
import { fieldForm, goKind, goScalar, messageForm } from './json-forms.js';
import type { JsonReader } from './json-reader.js';
import { LEFT_OUT, readScalar } from './json-scalars.js';
import { type Decoding, readWellKnown } from './json-well-known.js';
import { hasBadUtf8 } from './percent.js';
import { ParseError, parseInteger, parseUnsigned } from './scalars.js';
import { textName } from './text-name.js';

/** How a decoder treats what is not as it should be. */
export interface DecoderOptions {
  readonly registry: Registry;
  readonly rejectUnknownFields: boolean;
  readonly errors: JsonErrorStyle;
}

type FieldOf<K extends DescField['fieldKind']> = DescField & { readonly fieldKind: K };

/** Decodes messages from proto3 JSON by the rules of Go's protojson, which are stricter here and laxer there. */
export class JsonDecoder implements Decoding {
  packed = 0;
  private readonly path: string[] = [];
  private readonly unknown: string[] = [];

  constructor(
    readonly reader: JsonReader,
    readonly options: DecoderOptions,
  ) {}

  /** The message of which the whole text is the JSON. @throws GatewayError (INVALID_ARGUMENT). */
  decodeAll(desc: DescMessage): ReflectMessage {
    const message = this.decode(desc);
    if (this.unknown.length > 0) throw unknownFields(this.unknown, this.options.errors);
    return message;
  }

  /** The message of which the next value is the JSON. */
  decode(desc: DescMessage): ReflectMessage {
    const message = reflect(desc, create(desc), false);
    if (!readWellKnown(this, message)) this.fields(message);
    return message;
  }

  /** Reads the members of an object into an empty message; `skipType` goes over `@type`, which is not a field. */
  fields(message: ReflectMessage, skipType = false): void {
    const seen = new Set<DescField | string>();
    for (const name of this.members(messageForm(message.desc))) {
      if (skipType && name === '@type') this.skipValue();
      else this.member(message, name, seen);
    }
  }

  /** Another decoder at the same place, to look ahead. */
  ahead(): JsonDecoder {
    const copy = new JsonDecoder(this.reader.fork(), this.options);
    copy.path.push(...this.path);
    return copy;
  }

  /** A string. */
  text(): string {
    const text = this.reader.string();
    if (text === undefined) throw this.badText();
    return text;
  }

  /** Goes over the members of an object: at each turn its value is next, and must be read. */
  *members(form: string): Generator<string> {
    const { reader } = this;
    if (reader.peek() !== '{') throw this.unexpected(form);
    reader.skip();
    while (reader.peek() !== '}') {
      const name = this.text();
      this.nameAt = reader.start;
      reader.skip();
      this.path.push(`.${name}`);
      yield name;
      this.path.pop();
      if (reader.peek() === ',') reader.skip();
    }
    reader.skip();
  }

  /** Where the name of the member begins that is being read. */
  private nameAt = 0;

  /** Goes over a value that is not looked at. */
  skipValue(): void {
    if (!this.reader.skipValue()) throw this.badText();
  }

  /** Reads the entries of a map. */
  entries(message: ReflectMessage, field: FieldOf<'map'>): void {
    const target = message.message as unknown as Record<string, object>;
    // Of an object without a prototype no key has a meaning.
    target[field.localName] = Object.assign(Object.create(null), target[field.localName]);
    const map = message.get(field);
    for (const name of this.members('an object')) {
      this.path.splice(-1, 1, `[${JSON.stringify(name)}]`);
      const key = this.mapKey(field, name);
      if (map.has(key)) throw this.twice(`duplicate map key ${this.nameRaw()}`);
      const value = this.item(field);
      if (value !== LEFT_OUT) map.set(key, value);
    }
  }

  /** Reads the items of a list. */
  items(message: ReflectMessage, field: FieldOf<'list'>): void {
    const { reader } = this;
    if (reader.peek() !== '[') throw this.unexpected('an array');
    reader.skip();
    const list = message.get(field);
    while (reader.peek() !== ']') {
      this.path.push(`[${list.size}]`);
      const value = this.item(field);
      if (value !== LEFT_OUT) list.add(value);
      this.path.pop();
      if (reader.peek() === ',') reader.skip();
    }
    reader.skip();
  }

  /** A value of a scalar type. */
  scalar(field: DescField): unknown {
    const value = readScalar(this.reader, field);
    if (value === LEFT_OUT && this.options.rejectUnknownFields) throw this.badValue(field);
    if (value === undefined) throw this.badValue(field);
    return value;
  }

  /** The error about the piece that comes next, which has the wrong form. */
  unexpected(form: string): GatewayError {
    const { reader } = this;
    const raw = reader.rawAt(reader.position);
    const description = `expected ${form}, got ${describePiece(raw)}`;
    return this.fail({ at: reader.position, syntax: true, go: `unexpected token ${raw}`, description });
  }

  /** The error about the piece read last. */
  refuse(go: string, description: string): GatewayError {
    return this.fail({ at: this.reader.start, go, description });
  }

  private member(message: ReflectMessage, name: string, seen: Set<DescField | string>): void {
    const field = jsonField(message.desc, name);
    if (field === undefined) {
      if (this.options.rejectUnknownFields) this.unknown.push(pathText(this.path));
      this.skipValue();
      return;
    }
    if (seen.has(field)) throw this.twice(`duplicate field ${this.nameRaw()}`);
    seen.add(field);
    if (this.reader.peek() === 'n' && !takesNull(field)) this.reader.word();
    else if (field.fieldKind === 'list') this.items(message, field);
    else if (field.fieldKind === 'map') this.entries(message, field);
    else this.singular(message, field, seen);
  }

  private singular(message: ReflectMessage, field: DescField, seen: Set<DescField | string>): void {
    const group = field.oneof;
    if (group !== undefined && seen.has(group.name)) {
      const name = `${message.desc.typeName}.${group.name}`;
      throw this.twice(`error parsing ${this.nameRaw()}, oneof ${name} is already set`);
    }
    if (group !== undefined) seen.add(group.name);
    const value = this.item(field);
    if (value !== LEFT_OUT) message.set(field, value);
  }

  private item(field: DescField): unknown {
    return field.message === undefined ? this.scalar(field) : this.decode(field.message);
  }

  private mapKey(field: FieldOf<'map'>, name: string): string | number | bigint | boolean {
    const key = parseMapKey(field, name);
    if (key !== undefined) return key;
    const kind = goScalar(field.mapKey);
    throw this.fail({
      at: this.nameAt,
      go: `invalid value for ${kind} key: ${this.nameRaw()}`,
      description: `expected a ${kind} as key, got ${this.nameRaw()}`,
    });
  }

  private badValue(field: DescField): GatewayError {
    const { reader } = this;
    const raw = reader.rawAt(reader.start);
    if (raw.startsWith('"') && isBad(reader.text, reader.start, raw)) return this.badText();
    const description = `expected ${fieldForm(field)}, got ${describePiece(raw)}`;
    return this.refuse(`invalid value for ${goKind(field)} type: ${raw}`, description);
  }

  private badText(): GatewayError {
    const { reader } = this;
    const description = `expected a string of valid Unicode, got ${describePiece(reader.rawAt(reader.start))}`;
    const fault = { at: reader.start, syntax: true, description };
    const behind = behindHalfPair(reader.text, reader.start);
    if (behind === undefined) return this.fail({ ...fault, go: 'invalid UTF-8 in string' });
    // Go wants to read the other half, whatever stands there.
    if (this.options.errors === 'go' && Buffer.byteLength(behind) < 6) {
      return GatewayError.badRequest(`${PROTO}unexpected EOF`);
    }
    return this.fail({ ...fault, go: `invalid escape code ${goQuote(behind.slice(0, 6))} in string` });
  }

  private twice(go: string): GatewayError {
    return this.fail({ at: this.nameAt, go, description: 'it is given more than once' });
  }

  private nameRaw(): string {
    return this.reader.rawAt(this.nameAt);
  }

  private fail(fault: JsonFault): GatewayError {
    return jsonError(this.reader, this.path, fault, this.options.errors);
  }
}

/** The field of a JSON name: by its JSON name, else by its proto name. */
function jsonField(desc: DescMessage, name: string): DescField | undefined {
  return (
    desc.fields.find((field) => field.jsonName === name) ??
    desc.fields.find((field) => textName(field) === name)
  );
}

function takesNull(field: DescField): boolean {
  if (field.fieldKind === 'map') return false;
  return (
    field.message?.typeName === 'google.protobuf.Value' ||
    field.enum?.typeName === 'google.protobuf.NullValue'
  );
}

function parseMapKey(field: FieldOf<'map'>, name: string): string | number | bigint | boolean | undefined {
  const kind = goScalar(field.mapKey);
  if (kind === 'string') return name;
  if (kind === 'bool') return name === 'true' ? true : name === 'false' ? false : undefined;
  const bits = kind.endsWith('32') ? 32 : 64;
  const isUnsigned = kind.startsWith('u') || kind.startsWith('f');
  try {
    const value = isUnsigned ? parseUnsigned(name, bits, 'decimal') : parseInteger(name, bits, 'decimal');
    return bits === 32 ? Number(value) : value;
  } catch (err) {
    if (err instanceof ParseError) return undefined;
    throw err;
  }
}

/** What stands behind the escape of half a pair in the string that begins at a place; undefined without one. */
function behindHalfPair(text: string, start: number): string | undefined {
  for (let at = start + 1; text[at] !== '"'; at++) {
    if (text[at] !== '\\') continue;
    const [escaped, , pair] =
      /^\\u(d[89ab][0-9a-f]{2}(\\ud[c-f][0-9a-f]{2})?|d[c-f])?/i.exec(text.slice(at, at + 12)) ?? [];
    if (escaped !== undefined && escaped.length > 2 && pair === undefined) return text.slice(at + 6);
    at += pair === undefined ? 1 : 11;
  }
  return undefined;
}

function isBad(text: string, start: number, raw: string): boolean {
  return hasBadUtf8(raw) || behindHalfPair(text, start) !== undefined;
}
