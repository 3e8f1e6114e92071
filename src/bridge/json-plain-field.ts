import { type DescField, type DescMessage, ScalarType } from '@bufbuild/protobuf';
import type { ReflectMessage } from '@bufbuild/protobuf/reflect';
import { GatewayError } from './gateway-error.js';
import { goBase64 } from './go-base64.js';
import { goQuote } from './go-quote.js';
import { goScalar } from './json-forms.js';
import { type JsonKind, JsonReader } from './json-reader.js';
import { ParseError } from './scalars.js';
import { parseScalar } from './text-scalars.js';

type FieldOf<K extends DescField['fieldKind']> = DescField & { readonly fieldKind: K };
type DecodeMessage = (desc: DescMessage, json: string) => ReflectMessage;

/**
 * Reads a field that is not a message as Go's encoding/json does: a null is the default, 64-bit integers and enums
 * are numbers, and keys of maps may be given again.
 *
 * @throws GatewayError (INVALID_ARGUMENT).
 */
export function readPlainField(
  message: ReflectMessage,
  field: DescField,
  json: string,
  decode: DecodeMessage,
): void {
  const reader = new JsonReader(json);
  try {
    if (field.fieldKind === 'list') readList(reader, message, field, decode);
    else if (field.fieldKind === 'map') readMap(reader, message, field, decode);
    else {
      const value = readItem(reader, field, decode);
      if (value !== undefined) message.set(field, value);
    }
  } catch (err) {
    throw err instanceof ParseError ? GatewayError.badRequest(err.message) : err;
  }
}

function readList(
  reader: JsonReader,
  message: ReflectMessage,
  field: FieldOf<'list'>,
  decode: DecodeMessage,
): void {
  if (reader.peek() === 'n') return;
  if (reader.peek() !== '[') throw mismatch(reader.peek(), '[]json.RawMessage');
  reader.skip();
  const list = message.get(field);
  for (; reader.peek() !== ']'; skipComma(reader)) {
    list.add(readItem(reader, field, decode) ?? zero(field));
  }
}

function readMap(
  reader: JsonReader,
  message: ReflectMessage,
  field: FieldOf<'map'>,
  decode: DecodeMessage,
): void {
  if (reader.peek() === 'n') return;
  if (reader.peek() !== '{') throw mismatch(reader.peek(), 'map[string]*json.RawMessage');
  reader.skip();
  // Of a key that is given again only the last value is looked at.
  const values = new Map<string, string>();
  for (; reader.peek() !== '}'; skipComma(reader)) {
    const key = wellFormed(literalText(reader));
    reader.skip();
    const from = reader.position;
    reader.skipValue();
    values.set(key, reader.text.slice(from, reader.position).trimEnd());
  }
  const map = message.get(field);
  for (const [key, json] of values) {
    const value = readItem(new JsonReader(json), field, decode);
    map.set(parseScalar(field.mapKey, key, 'any'), value ?? zero(field));
  }
}

/** One value; undefined for null. @throws ParseError, GatewayError. */
function readItem(reader: JsonReader, field: DescField, decode: DecodeMessage): unknown {
  if (field.message !== undefined) {
    const from = reader.position;
    reader.skipValue();
    return decode(field.message, reader.text.slice(from, reader.position).trimEnd());
  }
  if (field.enum !== undefined) return readEnum(reader, field.enum.name);
  if (reader.peek() === 'n') {
    reader.word();
    return undefined;
  }
  return readScalar(reader, field.scalar ?? ScalarType.STRING);
}

function readEnum(reader: JsonReader, name: string): number {
  const kind = reader.peek();
  if (kind === '0') return Math.trunc(Number(reader.word())) | 0;
  const text = kind === '"' ? goQuote(wellFormed(reader.string() ?? '')) : reader.rawAt(reader.position);
  if (kind === '"') throw new ParseError(`unmarshaling of symbolic enum ${text} not supported: ${name}`);
  throw new ParseError(`cannot assign ${text} into Go type ${name}`);
}

function readScalar(reader: JsonReader, type: ScalarType): unknown {
  const kind = reader.peek();
  const isText = type === ScalarType.STRING || type === ScalarType.BYTES;
  const isBoolean = type === ScalarType.BOOL;
  const goType = goTypeOf(type);
  if (isText ? kind !== '"' : isBoolean ? kind !== 't' && kind !== 'f' : kind !== '0') {
    throw mismatch(kind, goType);
  }
  if (isBoolean) return reader.word() === 'true';
  if (isText) {
    const text = wellFormed(literalText(reader));
    return type === ScalarType.STRING ? text : new Uint8Array(goBase64(text, { url: false, padded: true }));
  }
  const word = reader.word();
  try {
    return parseScalar(type, word, 'decimal');
  } catch (err) {
    if (!(err instanceof ParseError)) throw err;
    throw new ParseError(`json: cannot unmarshal number ${word} into Go value of type ${goType}`);
  }
}

function literalText(reader: JsonReader): string {
  const raw = reader.rawAt(reader.position);
  reader.string();
  return JSON.parse(raw);
}

/** encoding/json puts U+FFFD in the place of what is not Unicode. */
function wellFormed(text: string): string {
  return text.replace(/\p{Surrogate}/gu, '\ufffd');
}

function zero(field: DescField): unknown {
  if (field.enum !== undefined) return 0;
  switch (field.scalar) {
    case ScalarType.STRING:
      return '';
    case ScalarType.BYTES:
      return new Uint8Array();
    case ScalarType.BOOL:
      return false;
    case ScalarType.INT64:
    case ScalarType.UINT64:
    case ScalarType.SINT64:
    case ScalarType.FIXED64:
    case ScalarType.SFIXED64:
      return 0n;
    default:
      return 0;
  }
}

function skipComma(reader: JsonReader): void {
  if (reader.peek() === ',') reader.skip();
}

const KINDS: Readonly<Partial<Record<JsonKind, string>>> = {
  '{': 'object',
  '[': 'array',
  '"': 'string',
  '0': 'number',
  t: 'bool',
  f: 'bool',
};

function mismatch(kind: JsonKind, goType: string): ParseError {
  return new ParseError(`json: cannot unmarshal ${KINDS[kind] ?? 'null'} into Go value of type ${goType}`);
}

function goTypeOf(type: ScalarType): string {
  if (type === ScalarType.DOUBLE) return 'float64';
  if (type === ScalarType.FLOAT) return 'float32';
  if (type === ScalarType.BYTES) return '[]uint8';
  return goScalar(type).replace(/^s?fixed|^sint/, (kind) => (kind === 'fixed' ? 'uint' : 'int'));
}
