import { create, type DescField, type DescMessage, type Registry, toBinary } from '@bufbuild/protobuf';
import { type ReflectMessage, reflect } from '@bufbuild/protobuf/reflect';
import type { GatewayError } from './gateway-error.js';
import { goQuote } from './go-quote.js';
import { parseGoTime, TIMESTAMP_RANGE } from './go-time.js';
import { messageForm } from './json-forms.js';
import type { JsonReader } from './json-reader.js';
import { readFloat } from './json-scalars.js';
import { ParseError } from './scalars.js';

type FieldOf<K extends DescField['fieldKind']> = DescField & { readonly fieldKind: K };

/** What reading a well-known message needs of the decoder that it is a part of. */
export interface Decoding {
  /** How many google.protobuf.Any are around what is read. */
  packed: number;
  readonly reader: JsonReader;
  readonly options: { readonly registry: Registry; readonly rejectUnknownFields: boolean };
  decode(desc: DescMessage): ReflectMessage;
  fields(message: ReflectMessage, skipType?: boolean): void;
  members(form: string): Generator<string>;
  entries(message: ReflectMessage, field: FieldOf<'map'>): void;
  items(message: ReflectMessage, field: FieldOf<'list'>): void;
  scalar(field: DescField): unknown;
  text(): string;
  skipValue(): void;
  ahead(): Decoding;
  unexpected(form: string): GatewayError;
  refuse(go: string, description: string): GatewayError;
}

type Read = (decoder: Decoding, message: ReflectMessage) => void;

/** Reads a message that has a JSON form of its own. False when it has none. */
export function readWellKnown(decoder: Decoding, message: ReflectMessage): boolean {
  const read = READERS[message.desc.typeName];
  if (read === undefined) return false;
  read(decoder, message);
  return true;
}

const GOOGLE = 'google.protobuf.';
const WRAPPERS = ['Double', 'Float', 'Int64', 'UInt64', 'Int32', 'UInt32', 'Bool', 'String', 'Bytes'];

const READERS: Readonly<Record<string, Read>> = {
  ...Object.fromEntries(WRAPPERS.map((kind) => [`${GOOGLE}${kind}Value`, readWrapper])),
  [`${GOOGLE}Any`]: readAny,
  [`${GOOGLE}Timestamp`]: readTimestamp,
  [`${GOOGLE}Duration`]: readDuration,
  [`${GOOGLE}FieldMask`]: readFieldMask,
  [`${GOOGLE}Empty`]: readEmpty,
  [`${GOOGLE}Struct`]: readStruct,
  [`${GOOGLE}ListValue`]: readListValue,
  [`${GOOGLE}Value`]: readValue,
};

function readWrapper(decoder: Decoding, message: ReflectMessage): void {
  const field = fieldOf(message.desc, 'value');
  message.set(field, decoder.scalar(field));
}

function readTimestamp(decoder: Decoding, message: ReflectMessage): void {
  const text = textOf(decoder, message.desc);
  const time = attempt(() => parseGoTime(text));
  const digits = /\.(\d*)[^.]*$/.exec(text)?.[1] ?? '';
  if (time === undefined || digits.length > 9) throw refused(decoder, message, 'invalid', 'value');
  const { first, last } = TIMESTAMP_RANGE;
  if (time.seconds < first || time.seconds > last) throw outOfRange(decoder, message);
  setInstant(message, time.seconds, time.nanos);
}

const MAX_DURATION_SECONDS = 315_576_000_000n;

function readDuration(decoder: Decoding, message: ReflectMessage): void {
  const text = textOf(decoder, message.desc);
  const [match, sign, whole = '', fraction = ''] =
    /^([-+]?)(0|[1-9]\d*|(?=\.))(?:\.(\d{0,9}))?s$/.exec(text) ?? [];
  if (match === undefined || whole.length > 20 || BigInt(whole || 0) >= 2n ** 63n)
    throw refused(decoder, message, 'invalid', 'value');
  const seconds = BigInt(whole || 0);
  if (seconds > MAX_DURATION_SECONDS) throw outOfRange(decoder, message);
  const nanos = Number(fraction.padEnd(9, '0'));
  if (sign === '-') setInstant(message, -seconds, nanos === 0 ? 0 : -nanos);
  else setInstant(message, seconds, nanos);
}

function readFieldMask(decoder: Decoding, message: ReflectMessage): void {
  const text = textOf(decoder, message.desc).trim();
  const paths = fieldOf(message.desc, 'paths');
  if (text === '' || paths.fieldKind !== 'list') return;
  const list = message.get(paths);
  for (const name of text.split(',')) {
    const path = name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
    if (name.includes('_') || !/^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$/.test(path)) {
      const go = `google.protobuf.FieldMask.paths contains invalid path: ${goQuote(name)}`;
      throw decoder.refuse(go, `expected ${messageForm(message.desc)}, got ${goQuote(name)}`);
    }
    list.add(path);
  }
}

function readEmpty(decoder: Decoding, message: ReflectMessage): void {
  decoder.fields(message);
}

function readStruct(decoder: Decoding, message: ReflectMessage): void {
  const fields = fieldOf(message.desc, 'fields');
  if (fields.fieldKind === 'map') decoder.entries(message, fields);
}

function readListValue(decoder: Decoding, message: ReflectMessage): void {
  const values = fieldOf(message.desc, 'values');
  if (values.fieldKind === 'list') decoder.items(message, values);
}

function readValue(decoder: Decoding, message: ReflectMessage): void {
  const { reader } = decoder;
  const set = (name: string, read: (field: DescField) => unknown) => {
    const field = fieldOf(message.desc, name);
    message.set(field, read(field));
  };
  const inner = (field: DescField) =>
    field.message === undefined ? undefined : decoder.decode(field.message);
  switch (reader.peek()) {
    case 'n':
      set('null_value', () => (reader.word() === 'null' ? 0 : undefined));
      break;
    case 't':
    case 'f':
      set('bool_value', () => reader.word() === 'true');
      break;
    case '0':
      set('number_value', () => numberOf(decoder, message));
      break;
    case '"':
      set('string_value', () => decoder.text());
      break;
    case '{':
      set('struct_value', inner);
      break;
    case '[':
      set('list_value', inner);
      break;
    default:
      throw decoder.refuse('invalid google.protobuf.Value: ', 'expected any JSON');
  }
}

function numberOf(decoder: Decoding, message: ReflectMessage): number {
  const number = readFloat(decoder.reader, 64);
  if (number === undefined) throw refused(decoder, message, 'invalid', '', ':');
  return number;
}

/** How many google.protobuf.Any may be packed into each other. Each is read ahead to its end for its type. */
const MOST_PACKED = 32;

function readAny(decoder: Decoding, message: ReflectMessage): void {
  const { reader, options } = decoder;
  if (reader.peek() !== '{') throw decoder.unexpected('an object');
  if (++decoder.packed > MOST_PACKED) {
    throw decoder.refuse(
      'exceeded max recursion depth',
      `expected at most ${MOST_PACKED} messages packed into each other`,
    );
  }
  const typeUrl = findType(decoder);
  if (typeUrl === undefined) {
    decoder.packed--;
    decoder.skipValue();
    return;
  }
  const desc = options.registry.getMessage(typeUrl.url.slice(typeUrl.url.lastIndexOf('/') + 1));
  if (desc === undefined) {
    reader.start = typeUrl.at;
    throw decoder.refuse(
      `unable to resolve ${reader.rawAt(typeUrl.at)}: "not found"`,
      `the type ${reader.rawAt(typeUrl.at)} is not known`,
    );
  }
  const inner = reflect(desc, create(desc), false);
  if (desc.typeName in READERS) readAnyValue(decoder, inner);
  else decoder.fields(inner, true);
  decoder.packed--;
  message.set(fieldOf(message.desc, 'type_url'), typeUrl.url);
  message.set(fieldOf(message.desc, 'value'), toBinary(desc, inner.message));
}

/** The `@type` of the object that comes next; undefined for an object without, which is an Any that holds nothing. */
function findType(decoder: Decoding): { url: string; at: number } | undefined {
  const ahead = decoder.ahead();
  let found: { url: string; at: number } | undefined;
  let members = 0;
  for (const name of ahead.members('an object')) {
    members++;
    if (name !== '@type') ahead.skipValue();
    else if (found !== undefined)
      throw ahead.refuse('duplicate "@type" field', '"@type" is given more than once');
    else found = { url: typeText(ahead), at: ahead.reader.start };
  }
  if (found === undefined && members > 0 && decoder.options.rejectUnknownFields) {
    ahead.reader.start = decoder.reader.position;
    throw ahead.refuse('missing "@type" field', 'expected a member "@type"');
  }
  return found;
}

function typeText(decoder: Decoding): string {
  const { reader } = decoder;
  if (reader.peek() !== '"') {
    reader.start = reader.position;
    throw decoder.refuse(
      `@type field value is not a string: ${reader.rawAt(reader.position)}`,
      'expected a string as "@type"',
    );
  }
  const url = reader.string() ?? '';
  if (url === '') throw decoder.refuse('@type field contains empty value', 'expected a type as "@type"');
  return url;
}

/** Reads the member `value` of an Any that holds a type with a JSON form of its own. */
function readAnyValue(decoder: Decoding, inner: ReflectMessage): void {
  let found = false;
  for (const name of decoder.members('an object')) {
    if (name !== 'value') decoder.skipValue();
    else if (found) throw decoder.refuse('duplicate "value" field', '"value" is given more than once');
    else {
      readWellKnown(decoder, inner);
      found = true;
    }
  }
  if (!found && inner.desc.typeName !== `${GOOGLE}Empty`) {
    throw decoder.refuse('missing "value" field', 'expected a member "value"');
  }
}

function setInstant(message: ReflectMessage, seconds: bigint, nanos: number): void {
  message.set(fieldOf(message.desc, 'seconds'), seconds);
  message.set(fieldOf(message.desc, 'nanos'), nanos);
}

function textOf(decoder: Decoding, desc: DescMessage): string {
  if (decoder.reader.peek() !== '"') throw decoder.unexpected(messageForm(desc));
  return decoder.text();
}

function refused(decoder: Decoding, { desc }: ReflectMessage, why: string, what: string, colon = '') {
  const raw = decoder.reader.rawAt(decoder.reader.start);
  const go = [why, desc.typeName + colon, what, raw].filter((part) => part !== '').join(' ');
  return decoder.refuse(go, `expected ${messageForm(desc)}, got the string ${raw}`);
}

function outOfRange(decoder: Decoding, { desc }: ReflectMessage) {
  const raw = decoder.reader.rawAt(decoder.reader.start);
  return decoder.refuse(`${desc.typeName} value out of range: ${raw}`, `${raw} is out of range`);
}

function attempt<T>(parse: () => T): T | undefined {
  try {
    return parse();
  } catch (err) {
    if (err instanceof ParseError) return undefined;
    throw err;
  }
}

function fieldOf(desc: DescMessage, name: string): DescField {
  const field = desc.fields.find((candidate) => candidate.name === name);
  if (field === undefined) throw new Error(`${desc.typeName} has no field ${name}`);
  return field;
}
