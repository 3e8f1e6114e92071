import {
  type DescField,
  type DescMessage,
  fromBinary,
  type Registry,
  ScalarType,
  toJson,
} from '@bufbuild/protobuf';
import { type ReflectMessage, reflect } from '@bufbuild/protobuf/reflect';
import { FeatureSet_FieldPresence } from '@bufbuild/protobuf/wkt';
import { GatewayError, type PackedDetail } from './gateway-error.js';
import { byBytes, type JsonEscaping, numberText, objectText, quote } from './json-text.js';

/** What every part of one JSON text shares. */
interface Emitter {
  readonly registry: Registry;
  readonly escaping: JsonEscaping;
}

type ListOrMapField = DescField & { fieldKind: 'list' | 'map' };

/**
 * Writes a message as proto3 JSON the way grpc-gateway does: fields in the order of their declaration, all of
 * them, with null for messages that are not set; members of a oneof and `optional` fields only when set.
 *
 * @throws GatewayError (UNKNOWN) for what has no JSON form, such as an Any of an unknown type.
 */
export function messageToJson(emitter: Emitter, message: ReflectMessage): string {
  return emitWellKnown(emitter, message) ?? objectText(members(emitter, message), emitter.escaping);
}

/** Writes one field alone, as for `response_body`. Unset messages are written as empty ones. */
export function fieldToJson(emitter: Emitter, message: ReflectMessage, field: DescField): string {
  if (field.fieldKind === 'message') return messageToJson(emitter, message.get(field));
  // Go writes what is not a message through encoding/json: 64-bit integers become plain numbers.
  const plain = { ...emitter, escaping: 'html' as const, bareIntegers: true };
  return emitField(plain, message, field);
}

/** Writes a packed detail of a status with its `@type` first. @throws when its type is not known. */
export function detailToJson(emitter: Emitter, detail: PackedDetail): string {
  const type = emitter.registry.getMessage(detail.typeUrl.slice(detail.typeUrl.lastIndexOf('/') + 1));
  if (type === undefined) {
    throw new GatewayError(2, `google.protobuf.Any: unable to resolve "${detail.typeUrl}": not found`);
  }
  const inner = reflect(type, fromBinary(type, detail.value), false);
  const wellKnown = emitWellKnown(emitter, inner);
  const rest = wellKnown === undefined ? members(emitter, inner) : [['value', wellKnown] as const];
  return objectText([['@type', quote(detail.typeUrl, emitter.escaping)], ...rest], emitter.escaping);
}

function* members(emitter: Emitter, message: ReflectMessage): Generator<readonly [string, string]> {
  for (const field of message.desc.fields) {
    if (isLeftOut(message, field)) continue;
    const absent = field.fieldKind === 'message' && !message.isSet(field);
    yield [field.jsonName, absent ? 'null' : emitField(emitter, message, field)];
  }
}

function isLeftOut(message: ReflectMessage, field: DescField): boolean {
  if (field.fieldKind === 'list' || field.fieldKind === 'map') return false;
  const hasPresence = field.oneof !== undefined || field.fieldKind !== 'message';
  return hasPresence && field.presence !== FeatureSet_FieldPresence.IMPLICIT && !message.isSet(field);
}

function emitField(
  emitter: Emitter & { bareIntegers?: boolean },
  message: ReflectMessage,
  field: DescField,
): string {
  switch (field.fieldKind) {
    case 'list':
      return `[${[...message.get(field)].map((item) => emitItem(emitter, field, item)).join(',')}]`;
    case 'map':
      return objectText(mapEntries(emitter, field, [...message.get(field)]), emitter.escaping);
    default:
      return emitValue(emitter, field, message.get(field));
  }
}

function emitItem(
  emitter: Emitter & { bareIntegers?: boolean },
  field: ListOrMapField,
  item: unknown,
): string {
  if (emitter.bareIntegers && field.enum !== undefined && field.enum.value[Number(item)] === undefined) {
    return `"${item}"`;
  }
  return emitValue(emitter, field, item);
}

function mapEntries(
  emitter: Emitter,
  field: DescField & { fieldKind: 'map' },
  entries: [unknown, unknown][],
) {
  const numeric = typeof entries[0]?.[0] === 'number' || typeof entries[0]?.[0] === 'bigint';
  const compare = (a: unknown, b: unknown) =>
    numeric ? (Number(a) < Number(b) ? -1 : 1) : byBytes(String(a), String(b));
  return entries
    .sort(([a], [b]) => compare(a, b))
    .map(([key, value]) => [String(key), emitItem(emitter, field, value)] as const);
}

function emitValue(emitter: Emitter & { bareIntegers?: boolean }, field: DescField, value: unknown): string {
  if (field.message !== undefined) return messageToJson(emitter, value as ReflectMessage);
  if (field.enum !== undefined) return emitEnum(field, Number(value));
  switch (field.scalar) {
    case ScalarType.STRING:
      return quote(String(value), emitter.escaping);
    case ScalarType.BYTES:
      return `"${Buffer.from(value as Uint8Array).toString('base64')}"`;
    case ScalarType.FLOAT:
      return numberText(Number(value), 32);
    case ScalarType.DOUBLE:
      return numberText(Number(value), 64);
    default:
      return typeof value === 'bigint' && !emitter.bareIntegers ? `"${value}"` : String(value);
  }
}

function emitEnum(field: DescField, value: number): string {
  if (field.enum?.typeName === 'google.protobuf.NullValue') return 'null';
  const name = field.enum?.value[value]?.name;
  return name === undefined ? String(value) : `"${name}"`;
}

function emitWellKnown(emitter: Emitter, message: ReflectMessage): string | undefined {
  switch (message.desc.typeName) {
    case 'google.protobuf.Any':
      return emitAny(emitter, message);
    case 'google.protobuf.Timestamp':
    case 'google.protobuf.Duration':
    case 'google.protobuf.FieldMask':
      return quote(stringForm(message), emitter.escaping);
    case 'google.protobuf.Struct':
      return emitFirst(emitter, message);
    case 'google.protobuf.ListValue':
      return emitFirst(emitter, message);
    case 'google.protobuf.Value':
      return emitDynamic(emitter, message);
    default:
      return isWrapper(message.desc) ? emitFirst(emitter, message) : undefined;
  }
}

function emitFirst(emitter: Emitter, message: ReflectMessage): string {
  const field = message.desc.fields[0];
  return field === undefined ? '{}' : emitField(emitter, message, field);
}

function emitDynamic(emitter: Emitter, message: ReflectMessage): string {
  const kind = message.desc.oneofs[0];
  const field = kind === undefined ? undefined : message.oneofCase(kind);
  if (field === undefined)
    throw new GatewayError(2, 'proto: google.protobuf.Value: none of the oneof fields is set');
  return emitField(emitter, message, field);
}

function emitAny(emitter: Emitter, message: ReflectMessage): string {
  const [typeUrl, value] = message.desc.fields.map((field) => message.get(field));
  if (typeof typeUrl !== 'string' || typeUrl === '') return '{}';
  return detailToJson(emitter, { typeUrl, value: value as Uint8Array });
}

function isWrapper({ typeName, fields }: DescMessage): boolean {
  return (
    /^google\.protobuf\.(Double|Float|U?Int(32|64)|Bool|String|Bytes)Value$/.test(typeName) &&
    fields.length === 1
  );
}

function stringForm(message: ReflectMessage): string {
  try {
    return String(toJson(message.desc, message.message));
  } catch (err) {
    const path = /path name "(.*)" is irreversible/.exec(String(err))?.[1];
    const text =
      path === undefined
        ? String(err)
        : `google.protobuf.FieldMask.paths contains irreversible value "${path}"`;
    throw new GatewayError(2, `proto: ${text}`, { cause: err });
  }
}
