import {
  create,
  type DescField,
  type DescMessage,
  fromJson,
  type Registry,
  ScalarType,
} from '@bufbuild/protobuf';
import { type ReflectMessage, reflect } from '@bufbuild/protobuf/reflect';
import { GatewayError } from './gateway-error.js';
import { hasBadUtf8 } from './percent.js';
import {
  type IntegerBase,
  ParseError,
  parseBase64,
  parseBoolean,
  parseFloating,
  parseGoDuration,
  parseInteger,
  parseUnsigned,
} from './scalars.js';

/** How the text of a path or query parameter is read. */
export interface TextRules {
  readonly integers: IntegerBase;
  /** Timestamps and durations as in JSON (path) or as in Go (query). */
  readonly times: 'json' | 'go';
}

/** Rules for path parameters. */
export const PATH_RULES: TextRules = { integers: 'any', times: 'json' };
/** Rules for query parameters. */
export const QUERY_RULES: TextRules = { integers: 'decimal', times: 'go' };

/** The field of a message by its proto name, else by its JSON name. */
export function findField(desc: DescMessage, name: string): DescField | undefined {
  return (
    desc.fields.find((field) => field.name === name) ?? desc.fields.find((field) => field.jsonName === name)
  );
}

/** Reads a text as the value of a scalar or enum type, or as a well-known message. @throws ParseError. */
export function parseText(field: DescField, text: string, rules: TextRules, registry: Registry): unknown {
  if (field.enum !== undefined) return parseEnum(field, text);
  if (field.message !== undefined) return parseMessage(field.message, text, rules, registry);
  return field.scalar === undefined ? text : parseScalar(field.scalar, text, rules.integers);
}

/** Reads a text as a scalar, in the form that reflection takes. @throws ParseError. */
export function parseScalar(type: ScalarType, text: string, base: IntegerBase): unknown {
  switch (type) {
    case ScalarType.STRING:
      return checkedString(text);
    case ScalarType.BYTES:
      return parseBase64(text);
    case ScalarType.BOOL:
      return parseBoolean(text);
    case ScalarType.DOUBLE:
      return parseFloating(text, 64);
    case ScalarType.FLOAT:
      return parseFloating(text, 32);
    case ScalarType.INT32:
    case ScalarType.SINT32:
    case ScalarType.SFIXED32:
      return Number(parseInteger(text, 32, base));
    case ScalarType.UINT32:
    case ScalarType.FIXED32:
      return Number(parseUnsigned(text, 32, base));
    case ScalarType.UINT64:
    case ScalarType.FIXED64:
      return parseUnsigned(text, 64, base);
    default:
      return parseInteger(text, 64, base);
  }
}

function checkedString(text: string): string {
  if (!hasBadUtf8(text)) return text;
  throw new GatewayError(13, 'grpc: error while marshaling: string field contains invalid UTF-8');
}

function parseEnum(field: DescField, text: string): number {
  const byName = field.enum?.values.find((value) => value.name === text);
  if (byName !== undefined) return byName.number;
  const number = /^[+-]?\d+$/.test(text) ? Number(text) : Number.NaN;
  if (field.enum?.value[number] === undefined)
    throw new ParseError(`${JSON.stringify(text)} is not a valid value`);
  return number;
}

function parseMessage(desc: DescMessage, text: string, rules: TextRules, registry: Registry): ReflectMessage {
  switch (desc.typeName) {
    case 'google.protobuf.Timestamp':
      return jsonMessage(desc, text, registry);
    case 'google.protobuf.Duration':
      return rules.times === 'json' ? jsonMessage(desc, text, registry) : goDuration(desc, text);
    case 'google.protobuf.FieldMask':
      return withFields(desc, { paths: text === '' ? [] : text.split(',') });
    case 'google.protobuf.Struct':
    case 'google.protobuf.Value':
      return jsonMessage(desc, jsonValue(text), registry);
    default:
      return wrapper(desc, text, rules);
  }
}

function wrapper(desc: DescMessage, text: string, rules: TextRules): ReflectMessage {
  const value = desc.fields[0];
  const isWrapper = desc.typeName.startsWith('google.protobuf.') && desc.typeName.endsWith('Value');
  if (!isWrapper || value?.fieldKind !== 'scalar') {
    throw new ParseError(`unsupported message type: ${JSON.stringify(desc.typeName)}`);
  }
  return withFields(desc, { [value.localName]: parseScalar(value.scalar, text, rules.integers) });
}

function goDuration(desc: DescMessage, text: string): ReflectMessage {
  const nanos = parseGoDuration(text);
  return withFields(desc, { seconds: nanos / 1_000_000_000n, nanos: Number(nanos % 1_000_000_000n) });
}

function jsonMessage(
  desc: DescMessage,
  json: Parameters<typeof fromJson>[1],
  registry: Registry,
): ReflectMessage {
  try {
    return reflect(desc, fromJson(desc, json, { registry }));
  } catch (err) {
    throw new ParseError(`invalid ${desc.typeName} value ${JSON.stringify(json)}`, { cause: err });
  }
}

function jsonValue(text: string): Parameters<typeof fromJson>[1] {
  try {
    return JSON.parse(text);
  } catch (err) {
    throw new ParseError(`invalid JSON ${JSON.stringify(text)}`, { cause: err });
  }
}

function withFields(desc: DescMessage, init: Record<string, unknown>): ReflectMessage {
  return reflect(desc, Object.assign(create(desc), init));
}
