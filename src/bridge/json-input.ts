import {
  type DescField,
  type DescMessage,
  fromJson,
  type JsonValue,
  type Registry,
  ScalarType,
} from '@bufbuild/protobuf';
import { type ReflectMessage, reflect } from '@bufbuild/protobuf/reflect';
import type { FieldViolation } from '../model/hub-error.js';
import { findField } from './fields.js';
import { GatewayError } from './gateway-error.js';
import { JsonSyntaxError, scanJson } from './json-scan.js';
import { unknownFields } from './unknown-fields.js';

/** How JSON becomes a message. */
export interface JsonInputOptions {
  readonly registry: Registry;
  /** Refuses fields that the message does not have, instead of ignoring them. */
  readonly rejectUnknownFields: boolean;
  /** Adds google.rpc.BadRequest details to errors. */
  readonly fieldViolations: boolean;
}

/**
 * The first JSON value of a text, or undefined for a blank text. What stands behind it is ignored.
 *
 * @throws GatewayError (INVALID_ARGUMENT).
 */
export function parseJson(text: string): JsonValue | undefined {
  try {
    const found = scanJson(text);
    return found === undefined ? undefined : JSON.parse(text.slice(found.start, found.end));
  } catch (err) {
    if (err instanceof JsonSyntaxError) throw GatewayError.badRequest(err.message);
    throw err;
  }
}

/** Decodes a body's bytes. @throws GatewayError when they are not UTF-8. */
export function decodeUtf8(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw GatewayError.badRequest('the body is not valid UTF-8');
  }
}

/** A message from its JSON value. @throws GatewayError (INVALID_ARGUMENT) that names the first bad field. */
export function messageFromJson(
  desc: DescMessage,
  json: JsonValue,
  options: JsonInputOptions,
): ReflectMessage {
  if (options.rejectUnknownFields) refuseUnknown(unknownFields(desc, json, options.registry), options);
  try {
    return reflect(desc, fromJson(desc, json, decodeOptions(options)));
  } catch {
    const found = locate(desc, json, '', options);
    throw GatewayError.badRequest(describe(found), options.fieldViolations ? [found] : []);
  }
}

/**
 * Sets one field from a JSON value, as for `body: "field"`. Fields that are not messages follow Go's stricter
 * rules there: numbers, not strings, for 64-bit integers and enums.
 */
export function setFieldFromJson(
  message: ReflectMessage,
  field: DescField,
  json: JsonValue,
  options: JsonInputOptions,
): void {
  if (field.fieldKind === 'message') {
    message.set(field, messageFromJson(field.message, json, options));
    return;
  }
  const items = Array.isArray(json) && field.fieldKind === 'list' ? json : [json];
  if (needsNumber(field) && items.some((item) => typeof item === 'string')) {
    const violation = { field: field.jsonName, description: 'must be a number here' };
    throw GatewayError.badRequest(describe(violation), options.fieldViolations ? [violation] : []);
  }
  message.set(field, messageFromJson(message.desc, { [field.jsonName]: json }, options).get(field));
}

function refuseUnknown(paths: readonly string[], { fieldViolations }: JsonInputOptions): void {
  if (paths.length === 0) return;
  const violations = paths.map((field) => ({ field, description: 'there is no such field' }));
  const names = paths.map((path) => JSON.stringify(path)).join(', ');
  throw GatewayError.badRequest(`unknown fields: ${names}`, fieldViolations ? violations : []);
}

function needsNumber(field: DescField): boolean {
  if (field.fieldKind === 'map') return false;
  const wide = [
    ScalarType.INT64,
    ScalarType.UINT64,
    ScalarType.SINT64,
    ScalarType.FIXED64,
    ScalarType.SFIXED64,
  ];
  return field.enum !== undefined || (field.scalar !== undefined && wide.includes(field.scalar));
}

const decodeOptions = ({ registry, rejectUnknownFields }: JsonInputOptions) => ({
  registry,
  ignoreUnknownFields: !rejectUnknownFields,
});

function describe({ field, description }: FieldViolation): string {
  if (field === '') return `invalid body: ${description}`;
  return `invalid value for field "${field}": ${description}`;
}

/** Finds the first member that cannot be decoded alone, as deep as possible. */
function locate(desc: DescMessage, json: JsonValue, path: string, options: JsonInputOptions): FieldViolation {
  if (desc.typeName.startsWith('google.protobuf.')) return { field: path, description: expected(desc, json) };
  if (typeof json !== 'object' || json === null || Array.isArray(json)) {
    return { field: path, description: `expected an object, got ${show(json)}` };
  }
  for (const [key, value] of Object.entries(json)) {
    const reason = failure(desc, { [key]: value }, options);
    if (reason === undefined) continue;
    const at = path === '' ? key : `${path}.${key}`;
    const field = findField(desc, key);
    return field === undefined
      ? { field: at, description: 'there is no such field' }
      : locateInField(field, value, at, options);
  }
  return { field: path, description: failure(desc, json, options) ?? 'cannot be decoded' };
}

function locateInField(
  field: DescField,
  json: JsonValue,
  at: string,
  options: JsonInputOptions,
): FieldViolation {
  if (field.fieldKind === 'list' && Array.isArray(json)) {
    const index = json.findIndex(
      (item) => failure(field.parent, { [field.jsonName]: [item] }, options) !== undefined,
    );
    return locateItem(field, json[index] ?? null, `${at}[${index}]`, options);
  }
  if (field.fieldKind === 'map' && typeof json === 'object' && json !== null && !Array.isArray(json)) {
    const entry = Object.entries(json).find(
      ([key, value]) => failure(field.parent, { [field.jsonName]: { [key]: value } }, options) !== undefined,
    );
    return locateItem(field, entry?.[1] ?? null, `${at}[${JSON.stringify(entry?.[0] ?? '')}]`, options);
  }
  if (field.fieldKind === 'list') return { field: at, description: `expected an array, got ${show(json)}` };
  if (field.fieldKind === 'map') return { field: at, description: `expected an object, got ${show(json)}` };
  return locateItem(field, json, at, options);
}

function locateItem(
  field: DescField,
  json: JsonValue,
  at: string,
  options: JsonInputOptions,
): FieldViolation {
  if (field.message !== undefined && json !== null) return locate(field.message, json, at, options);
  return { field: at, description: expected(field, json) };
}

function failure(desc: DescMessage, json: JsonValue, options: JsonInputOptions): string | undefined {
  try {
    fromJson(desc, json, decodeOptions(options));
    return undefined;
  } catch (err) {
    return err instanceof Error ? err.message : String(err);
  }
}

function expected(of: DescField | DescMessage, json: JsonValue): string {
  return `expected ${of.kind === 'message' ? messageForm(of) : fieldForm(of)}, got ${show(json)}`;
}

function fieldForm(field: DescField): string {
  if (field.enum !== undefined) return `one of ${field.enum.values.map((value) => value.name).join(', ')}`;
  if (field.message !== undefined) return messageForm(field.message);
  return field.scalar === undefined ? 'another value' : SCALAR_FORMS[field.scalar];
}

function messageForm(desc: DescMessage): string {
  return MESSAGE_FORMS[desc.typeName] ?? 'an object';
}

const WIDE = 'a whole number of 64 bits, as a number or a string';

const SCALAR_FORMS: Readonly<Record<ScalarType, string>> = {
  [ScalarType.DOUBLE]: 'a number',
  [ScalarType.FLOAT]: 'a number',
  [ScalarType.INT32]: 'a number, whole, from -2147483648 to 2147483647',
  [ScalarType.SINT32]: 'a number, whole, from -2147483648 to 2147483647',
  [ScalarType.SFIXED32]: 'a number, whole, from -2147483648 to 2147483647',
  [ScalarType.UINT32]: 'a number, whole, from 0 to 4294967295',
  [ScalarType.FIXED32]: 'a number, whole, from 0 to 4294967295',
  [ScalarType.INT64]: WIDE,
  [ScalarType.SINT64]: WIDE,
  [ScalarType.SFIXED64]: WIDE,
  [ScalarType.UINT64]: WIDE,
  [ScalarType.FIXED64]: WIDE,
  [ScalarType.BOOL]: 'true or false',
  [ScalarType.STRING]: 'a string of valid Unicode',
  [ScalarType.BYTES]: 'a base64 string',
};

const MESSAGE_FORMS: Readonly<Record<string, string>> = {
  'google.protobuf.Duration': 'a string of seconds such as "30s"',
  'google.protobuf.Timestamp': 'an RFC 3339 string such as "2026-01-02T03:04:05Z"',
  'google.protobuf.FieldMask': 'a comma list of field paths in lowerCamelCase',
  'google.protobuf.ListValue': 'an array',
};

function show(json: JsonValue): string {
  if (json === null) return 'null';
  if (Array.isArray(json)) return 'an array';
  if (typeof json === 'object') return 'an object';
  const text = JSON.stringify(json);
  return `the ${typeof json} ${text.length > 64 ? `${text.slice(0, 64)}…` : text}`;
}
