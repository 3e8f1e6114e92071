import type { DescField, DescMessage, JsonValue, Registry } from '@bufbuild/protobuf';
import type { ReflectMessage } from '@bufbuild/protobuf/reflect';
import { GatewayError } from './gateway-error.js';
import { JsonDecoder } from './json-decoder.js';
import { jsonError, PROTO } from './json-error.js';
import { readPlainField } from './json-plain-field.js';
import { JsonReader } from './json-reader.js';
import { JsonSyntaxError, MAX_JSON_DEPTH, scanJson } from './json-scan.js';
import { textOfBytes } from './percent.js';
import { missingField } from './required-fields.js';

/** How JSON becomes a message. */
export interface JsonInputOptions {
  readonly registry: Registry;
  /** Refuses fields that the message does not have, instead of ignoring them. */
  readonly rejectUnknownFields: boolean;
  /** Errors name the field, and have google.rpc.BadRequest details. Else they are in Go's words. */
  readonly fieldViolations: boolean;
  /** How deep a body may be nested. Default 32. */
  readonly maxDepth?: number | undefined;
}

/** The text of a body's bytes. What is not UTF-8 is a lone surrogate each, which no string may hold. */
export function bodyText(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes);
  } catch {
    return textOfBytes(Buffer.from(bytes).toString('latin1'));
  }
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * The first JSON value of a text, as it is written; undefined for a blank text. What stands behind it is ignored.
 *
 * @throws GatewayError (INVALID_ARGUMENT).
 */
export function firstJson(text: string, maxDepth = MAX_JSON_DEPTH): string | undefined {
  try {
    const found = scanJson(text, maxDepth);
    return found === undefined ? undefined : text.slice(found.start, found.end);
  } catch (err) {
    if (err instanceof JsonSyntaxError) throw GatewayError.badRequest(err.message);
    throw err;
  }
}

/** The first JSON value of a text as a plain value. @throws GatewayError (INVALID_ARGUMENT). */
export function parseJson(text: string, maxDepth = MAX_JSON_DEPTH): JsonValue | undefined {
  const json = firstJson(text, maxDepth);
  return json === undefined ? undefined : JSON.parse(json);
}

/** A message from its JSON. @throws GatewayError (INVALID_ARGUMENT) that tells the first bad piece. */
export function messageFromJson(desc: DescMessage, json: string, options: JsonInputOptions): ReflectMessage {
  const { registry, rejectUnknownFields, fieldViolations } = options;
  const errors = fieldViolations ? 'fields' : 'go';
  const decoder = new JsonDecoder(new JsonReader(json), { registry, rejectUnknownFields, errors });
  const message = decoder.decodeAll(desc);
  const missing = missingField(message);
  if (missing !== undefined) throw GatewayError.badRequest(`${PROTO}required field ${missing} not set`);
  return message;
}

/** A message from a text that must be its JSON and nothing else. @throws GatewayError (INVALID_ARGUMENT). */
export function messageFromWholeJson(
  desc: DescMessage,
  text: string,
  options: JsonInputOptions,
): ReflectMessage {
  const { registry, rejectUnknownFields } = options;
  const reader = new JsonReader(text);
  checkWhole(reader, options);
  return new JsonDecoder(reader, { registry, rejectUnknownFields, errors: 'go' }).decodeAll(desc);
}

function checkWhole(reader: JsonReader, { maxDepth = MAX_JSON_DEPTH }: JsonInputOptions): void {
  const { text } = reader;
  try {
    const end = scanJson(text, maxDepth)?.end ?? text.length;
    const rest = /[^ \t\r\n]/.exec(text.slice(end));
    if (rest !== null) throw new JsonSyntaxError('unexpected token', end + rest.index);
  } catch (err) {
    if (!(err instanceof JsonSyntaxError)) throw err;
    if (err.at >= text.length) throw GatewayError.badRequest(`${PROTO}unexpected EOF`);
    const raw = reader.rawAt(err.at);
    const go = `${/^[{}[\],:"\d-]/.test(raw) ? 'unexpected token' : 'invalid value'} ${raw}`;
    throw jsonError(reader, [], { at: err.at, syntax: true, go, description: go }, 'go');
  }
}

/**
 * Sets one field from its JSON, as for `body: "field"`. Fields that are not messages follow the rules of Go's
 * encoding/json there: numbers, not strings, for 64-bit integers and enums.
 *
 * @throws GatewayError (INVALID_ARGUMENT).
 */
export function setFieldFromJson(
  message: ReflectMessage,
  field: DescField,
  json: string,
  options: JsonInputOptions,
): void {
  if (field.fieldKind === 'message') message.set(field, messageFromJson(field.message, json, options));
  else readPlainField(message, field, json, (desc, item) => messageFromJson(desc, item, options));
}
