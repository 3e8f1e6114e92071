import {
  create,
  type DescField,
  type DescMessage,
  fromBinary,
  isFieldSet,
  type Message,
  type Registry,
  ScalarType,
} from '@bufbuild/protobuf';
import { type ReflectMessage, reflect } from '@bufbuild/protobuf/reflect';
import { FeatureSet_FieldPresence } from '@bufbuild/protobuf/wkt';
import { GatewayError, type PackedDetail } from './gateway-error.js';
import { goQuote } from './go-quote.js';
import { PROTO } from './json-error.js';
import { byBytes, type JsonEscaping, quote } from './json-text.js';
import { TEXT_WRITERS } from './json-texts.js';
import { type ValueStyle, valueWriter } from './json-values.js';

/** What every part of one JSON text shares. */
export interface Emitter extends ValueStyle {
  readonly registry: Registry;
}

/** The properties of a message, by local names. */
type Properties = Readonly<Record<string, unknown>>;
/** Writes a message; undefined for a member that is left out. */
type Writer<T> = (emitter: Emitter, message: Properties) => T;
type ItemWriter = (emitter: Emitter, value: unknown) => string;

/** A field of a message, ready to be written. */
interface Member {
  readonly field: DescField;
  /** The name as JSON with its colon, by escaping. */
  readonly key: Readonly<Record<JsonEscaping, string>>;
  readonly write: Writer<string | undefined>;
}

/**
 * Writes a message as proto3 JSON the way grpc-gateway does: fields in the order of their declaration, all of
 * them, with null for messages that are not set; members of a oneof and `optional` fields only when set.
 *
 * @throws GatewayError (UNKNOWN) for what has no JSON form, such as an Any of an unknown type.
 */
export function messageToJson(emitter: Emitter, message: ReflectMessage): string {
  return emitMessage(emitter, message.desc, propertiesOf(message));
}

/** Writes a packed detail of a status with its `@type` first. @throws when its type is not known. */
export function detailToJson(emitter: Emitter, detail: PackedDetail): string {
  const type = emitter.registry.getMessage(detail.typeUrl.slice(detail.typeUrl.lastIndexOf('/') + 1));
  if (type === undefined) {
    throw new GatewayError(
      2,
      `${PROTO}google.protobuf.Any: unable to resolve ${goQuote(detail.typeUrl)}: not found`,
    );
  }
  const inner = fromBinary(type, detail.value) as unknown as Properties;
  const head = `{"@type":${quote(detail.typeUrl, emitter.escaping)}`;
  const plan = planOf(type);
  if (plan.wellKnown !== undefined) return `${head},"value":${plan.wellKnown(emitter, inner)}}`;
  const rest = emitMembers(emitter, plan.members, inner);
  return rest === '' ? `${head}}` : `${head},${rest}}`;
}

/** How messages of a type are written; worked out once. */
interface Plan {
  /** For types that JSON writes in a form of their own. */
  readonly wellKnown: Writer<string> | undefined;
  readonly members: readonly Member[];
}

const plans = new WeakMap<DescMessage, Plan>();

function planOf(desc: DescMessage): Plan {
  let plan = plans.get(desc);
  if (plan === undefined) {
    plan = { wellKnown: wellKnownWriter(desc), members: desc.fields.map((field) => newMember(field)) };
    plans.set(desc, plan);
  }
  return plan;
}

function emitMessage(emitter: Emitter, desc: DescMessage, message: Properties): string {
  const { wellKnown, members } = planOf(desc);
  return wellKnown === undefined
    ? `{${emitMembers(emitter, members, message)}}`
    : wellKnown(emitter, message);
}

function emitMembers(emitter: Emitter, members: readonly Member[], message: Properties): string {
  let text = '';
  for (const { key, write } of members) {
    const value = write(emitter, message);
    if (value !== undefined) text += (text === '' ? '' : ',') + key[emitter.escaping] + value;
  }
  return text;
}

function newMember(field: DescField): Member {
  const key = { proto: `${quote(field.jsonName, 'proto')}:`, html: `${quote(field.jsonName, 'html')}:` };
  return { field, key, write: memberWriter(field) };
}

function memberWriter(field: DescField): Writer<string | undefined> {
  const { localName } = field;
  switch (field.fieldKind) {
    case 'list':
      return listWriter(field);
    case 'map':
      return mapWriter(field);
    case 'message':
      return singularMessage(field);
    default: {
      const write = valueWriter(field);
      if (field.oneof !== undefined) return memberOfOneof(field, write);
      if (field.presence === FeatureSet_FieldPresence.IMPLICIT)
        return (emitter, message) => write(emitter, message[localName]);
      const absent = absentText(field);
      return (emitter, message) =>
        isFieldSet(message as unknown as Message, field) ? write(emitter, message[localName]) : absent;
    }
  }
}

/** What stands for a field that is not set: fields that are `optional` in proto3 are left out. */
function absentText({ proto }: DescField): string | undefined {
  return proto.proto3Optional ? undefined : 'null';
}

function singularMessage(field: DescField & { fieldKind: 'message' }): Writer<string | undefined> {
  const { localName } = field;
  const write = messageWriter(field.message);
  if (field.oneof !== undefined) return memberOfOneof(field, write);
  // Wrappers and Structs are kept in another form inside of messages; reflection makes messages of them.
  const unfold = isFolded(field.message);
  const absent = absentText(field);
  return (emitter, message) => {
    const value = message[localName];
    if (value === undefined) return absent;
    return write(emitter, unfold ? propertiesOf(reflected(field, message).get(field)) : value);
  };
}

function memberOfOneof(field: DescField, write: ItemWriter): Writer<string | undefined> {
  const { localName, oneof } = field;
  const group = oneof?.localName ?? '';
  const unfold = field.message !== undefined && isFolded(field.message);
  return (emitter, message) => {
    const chosen = message[group] as { readonly case?: string; readonly value?: unknown };
    if (chosen.case !== localName) return undefined;
    if (!unfold) return write(emitter, chosen.value);
    return write(emitter, propertiesOf(reflected(field, message).get(field) as ReflectMessage));
  };
}

function listWriter(field: DescField & { fieldKind: 'list' }): Writer<string> {
  const write = itemWriter(field);
  const unfold = field.message !== undefined && isFolded(field.message);
  return (emitter, message) => {
    const items: Iterable<unknown> = unfold
      ? [...reflected(field, message).get(field)].map((item) => propertiesOf(item as ReflectMessage))
      : (message[field.localName] as unknown[]);
    let text = '';
    for (const item of items) text += (text === '' ? '' : ',') + write(emitter, item);
    return `[${text}]`;
  };
}

function mapWriter(field: DescField & { fieldKind: 'map' }): Writer<string> {
  const write = itemWriter(field);
  const unfold = field.message !== undefined && isFolded(field.message);
  const byText = field.mapKey === ScalarType.STRING || field.mapKey === ScalarType.BOOL;
  const compare = byText ? byBytes : (a: string, b: string) => (BigInt(a) < BigInt(b) ? -1 : 1);
  return (emitter, message) => {
    const entries: [string, unknown][] = unfold
      ? [...reflected(field, message).get(field)].map(([key, item]) => [
          String(key),
          propertiesOf(item as ReflectMessage),
        ])
      : Object.entries(message[field.localName] as object);
    if (entries.length > 1) entries.sort(([a], [b]) => compare(a, b));
    let text = '';
    for (const [key, value] of entries)
      text += `${text === '' ? '' : ','}${quote(key, emitter.escaping)}:${write(emitter, value)}`;
    return `{${text}}`;
  };
}

/** Writes an item of a list or map. */
function itemWriter(field: DescField & { fieldKind: 'list' | 'map' }): ItemWriter {
  if (field.message !== undefined) return messageWriter(field.message);
  return valueWriter(field);
}

function messageWriter(desc: DescMessage): ItemWriter {
  return (emitter, value) => emitMessage(emitter, desc, value as Properties);
}

function wellKnownWriter(desc: DescMessage): Writer<string> | undefined {
  const write = TEXT_WRITERS[desc.typeName];
  if (write !== undefined) return ({ escaping }, message) => quote(write(message as never), escaping);
  switch (desc.typeName) {
    case 'google.protobuf.Any':
      return emitAny;
    case 'google.protobuf.Empty':
      return () => '{}';
    case 'google.protobuf.Value':
      return (emitter, message) => emitDynamic(emitter, desc, message);
    case 'google.protobuf.Struct':
    case 'google.protobuf.ListValue':
      return firstWriter(desc);
    default:
      return isWrapper(desc) ? firstWriter(desc) : undefined;
  }
}

/** Writes the only field in place of the message. */
function firstWriter(desc: DescMessage): Writer<string> {
  const [field] = desc.fields;
  const write = field === undefined ? undefined : memberWriter(field);
  return (emitter, message) => write?.(emitter, message) ?? '{}';
}

function emitDynamic(emitter: Emitter, desc: DescMessage, message: Properties): string {
  for (const { field, write } of planOf(desc).members) {
    const value = write(emitter, message);
    if (value === undefined) continue;
    if (field.scalar === ScalarType.DOUBLE && value.startsWith('"')) throw badNumber(value.slice(1, -1));
    return value;
  }
  throw new GatewayError(2, `${PROTO}google.protobuf.Value: none of the oneof fields is set`);
}

/** A Value cannot hold what JSON has no number for. */
function badNumber(text: string): GatewayError {
  const number = text.replace(/^(-?)Infinity$/, (_, sign: string) => `${sign || '+'}Inf`);
  return new GatewayError(2, `${PROTO}google.protobuf.Value.number_value: invalid ${number} value`);
}

function emitAny(emitter: Emitter, message: Properties): string {
  const { typeUrl, value } = message;
  if (typeof typeUrl !== 'string' || typeUrl === '') {
    if ((value as Uint8Array).length === 0) return '{}';
    throw new GatewayError(2, `${PROTO}google.protobuf.Any: google.protobuf.Any.type_url must be set`);
  }
  return detailToJson(emitter, { typeUrl, value: value as Uint8Array });
}

/** Whether messages of a type are kept in another form where they are a field. */
function isFolded(desc: DescMessage): boolean {
  return desc.typeName === 'google.protobuf.Struct' || isWrapper(desc);
}

function isWrapper({ typeName, fields }: DescMessage): boolean {
  return (
    /^google\.protobuf\.(Double|Float|U?Int(32|64)|Bool|String|Bytes)Value$/.test(typeName) &&
    fields.length === 1
  );
}

function reflected(field: DescField, message: Properties): ReflectMessage {
  return reflect(field.parent, message as unknown as Message, false);
}

/** The properties of a message; those of an empty one when it is not there. */
function propertiesOf({ desc, message }: ReflectMessage): Properties {
  return (message ?? create(desc)) as unknown as Properties;
}
