import { type DescField, type DescMessage, fromJson, type JsonValue, ScalarType } from '@bufbuild/protobuf';
import { type ReflectMessage, reflect } from '@bufbuild/protobuf/reflect';
import type { FieldViolation } from '../model/hub-error.js';
import { GatewayError } from './gateway-error.js';
import { locate } from './json-locate.js';
import { longNumberIn, watchLongNumbers } from './json-long-numbers.js';
import { decodeOptions, type JsonInputOptions } from './json-options.js';
import { JsonSyntaxError, scanJson } from './json-scan.js';
import { unknownFields } from './unknown-fields.js';

/**
 * The first JSON value of a text, or undefined for a blank text. What stands behind it is ignored.
 *
 * @throws GatewayError (INVALID_ARGUMENT).
 */
export function parseJson(text: string): JsonValue | undefined {
  try {
    const found = scanJson(text);
    if (found === undefined) return undefined;
    const value = text.slice(found.start, found.end);
    return watchLongNumbers(value, JSON.parse(value));
  } catch (err) {
    if (err instanceof JsonSyntaxError) throw GatewayError.badRequest(err.message);
    throw err;
  }
}

const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Decodes a body's bytes. @throws GatewayError when they are not UTF-8. */
export function decodeUtf8(bytes: Uint8Array): string {
  try {
    return UTF8.decode(bytes);
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
  const tooLong = longNumberIn(desc, json);
  if (tooLong !== undefined) refuse(tooLong, options);
  if (options.rejectUnknownFields) refuseUnknown(unknownFields(desc, json, options.registry), options);
  try {
    return reflect(desc, fromJson(desc, json, decodeOptions(options)));
  } catch {
    return refuse(locate(desc, json, '', options), options);
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
    refuse({ field: field.jsonName, description: 'must be a number here' }, options);
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

function refuse(violation: FieldViolation, { fieldViolations }: JsonInputOptions): never {
  throw GatewayError.badRequest(describe(violation), fieldViolations ? [violation] : []);
}

function describe({ field, description }: FieldViolation): string {
  if (field === '') return `invalid body: ${description}`;
  return `invalid value for field "${field}": ${description}`;
}
