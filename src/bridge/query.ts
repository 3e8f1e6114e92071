import { type DescField, isMessage, type Registry } from '@bufbuild/protobuf';
import type { ReflectMessage } from '@bufbuild/protobuf/reflect';
import { ValueSchema } from '@bufbuild/protobuf/wkt';
import { findField, parseText, QUERY_RULES } from './fields.js';
import { GatewayError } from './gateway-error.js';
import { goQuote } from './go-quote.js';
import { decodePercent, EscapeError } from './percent.js';
import { ParseError } from './scalars.js';
import { parseScalar } from './text-scalars.js';

/** More parameters than any request has. */
const MOST_PARAMETERS = 10_000;

/**
 * Splits a query string or form body, in bytes, into its values by key, in order.
 *
 * @throws GatewayError for a bad escape or a semicolon.
 */
export function parseQuery(bytes: string, into = new Map<string, string[]>()): Map<string, string[]> {
  const parts = bytes.split('&');
  if (parts.length > MOST_PARAMETERS) {
    throw GatewayError.badRequest('number of URL query parameters exceeded limit');
  }
  let bad: string | undefined;
  for (const part of parts) {
    if (part.includes(';')) bad = 'invalid semicolon separator in query';
    else if (part !== '') bad ??= addParameter(into, part);
  }
  if (bad !== undefined) throw GatewayError.badRequest(bad);
  return into;
}

/** Adds one `key=value`; answers what is wrong with it. */
function addParameter(into: Map<string, string[]>, part: string): string | undefined {
  const equals = part.indexOf('=');
  try {
    const key = unescapeQuery(equals < 0 ? part : part.slice(0, equals));
    const value = equals < 0 ? '' : unescapeQuery(part.slice(equals + 1));
    const values = into.get(key) ?? [];
    values.push(value);
    into.set(key, values);
    return undefined;
  } catch (err) {
    if (err instanceof EscapeError) return err.message;
    throw err;
  }
}

/**
 * Puts query parameters into a message. Unknown keys are ignored, and so are keys at or below a `taken` path
 * (the body's field and the path parameters).
 *
 * @throws GatewayError (INVALID_ARGUMENT) that names the parameter.
 */
export function setQueryParameters(
  message: ReflectMessage,
  query: ReadonlyMap<string, readonly string[]>,
  taken: readonly string[],
  registry: Registry,
): void {
  for (const [key, values] of query) {
    const bracket = key.endsWith(']') ? key.lastIndexOf('[') : -1;
    const path = (bracket < 0 ? key : key.slice(0, bracket)).split('.');
    if (path.length > MOST_FIELDS)
      throw GatewayError.badRequest(`a query key names more than ${MOST_FIELDS} fields`);
    const all = bracket < 0 ? values : [key.slice(bracket + 1, -1), ...values];
    const name = canonicalPath(message, path);
    if (taken.some((prefix) => name === prefix || name.startsWith(`${prefix}.`))) continue;
    try {
      setQueryParameter(message, path, all, registry);
    } catch (err) {
      throw err instanceof ParseError ? GatewayError.badRequest(err.message) : err;
    }
  }
}

/** How deep a query may reach into messages. */
const MOST_FIELDS = 100;

/** Puts the values of one key into a message. @throws ParseError, GatewayError. */
export function setQueryParameter(
  message: ReflectMessage,
  [name = '', ...rest]: readonly string[],
  values: readonly string[],
  registry: Registry,
): void {
  const field = findField(message.desc, name);
  if (field === undefined) return;
  checkOneof(message, field);
  if (rest.length > 0) {
    if (field.fieldKind !== 'message')
      throw new ParseError(`invalid path: ${goQuote(name)} is not a message`);
    const child = message.get(field);
    setQueryParameter(child, rest, values, registry);
    if (isEmptyValue(child)) setEmpty(message, field);
    else message.set(field, child);
  } else if (field.fieldKind === 'list') {
    const list = message.get(field);
    for (const value of values)
      list.add(named('list', field, () => parseText(field, value, QUERY_RULES, registry)));
  } else if (field.fieldKind === 'map') {
    setMapEntry(message, field, values, registry);
  } else {
    if (values.length > 1) {
      throw new ParseError(`too many values for field ${goQuote(field.name)}: ${values.join(', ')}`);
    }
    message.set(
      field,
      named('field', field, () => parseText(field, values[0] ?? '', QUERY_RULES, registry)),
    );
  }
}

/** A google.protobuf.Value without a value, which the library does not encode. */
function isEmptyValue({ desc, message }: ReflectMessage): boolean {
  return desc.typeName === 'google.protobuf.Value' && isMessage(message, ValueSchema) && !message.kind.case;
}

/** Sets a message field to a message of no bytes, past the library. */
function setEmpty({ message }: ReflectMessage, { number }: DescField): void {
  message.$unknown = [...(message.$unknown ?? []), { no: number, wireType: 2, data: new Uint8Array([0]) }];
}

function setMapEntry(
  message: ReflectMessage,
  field: DescField & { fieldKind: 'map' },
  values: readonly string[],
  registry: Registry,
): void {
  const [key = '', value = ''] = values;
  if (values.length !== 2) {
    const map = `${field.parent.typeName}.${field.name}`;
    throw new ParseError(`more than one value provided for key ${goQuote(key)} in map ${goQuote(map)}`);
  }
  const parsedKey = named('map key', field, () => parseScalar(field.mapKey, key, 'decimal'));
  const parsed = named('map value', field, () => parseText(field, value, QUERY_RULES, registry));
  message.get(field).set(parsedKey, parsed);
}

function checkOneof(message: ReflectMessage, field: DescField): void {
  const current = field.oneof === undefined ? undefined : message.oneofCase(field.oneof);
  if (current === undefined || (field.fieldKind === 'message' && current === field)) return;
  throw new ParseError(`field already set for oneof ${goQuote(field.oneof?.name ?? '')}`);
}

function named<T>(what: string, field: DescField, parse: () => T): T {
  try {
    return parse();
  } catch (err) {
    if (!(err instanceof ParseError)) throw err;
    throw new ParseError(`parsing ${what} ${goQuote(field.name)}: ${err.message}`);
  }
}

/** The key in proto names, so that no spelling of a key gets past the path parameters; as it is when it is no path. */
function canonicalPath(message: ReflectMessage, path: readonly string[]): string {
  const names: string[] = [];
  let desc: ReflectMessage['desc'] | undefined = message.desc;
  for (const name of path) {
    const field: DescField | undefined = desc === undefined ? undefined : findField(desc, name);
    if (field === undefined) return path.join('.');
    names.push(field.name);
    desc = field.fieldKind === 'message' ? field.message : undefined;
  }
  return names.join('.');
}

function unescapeQuery(bytes: string): string {
  return decodePercent(bytes.replaceAll('+', ' '));
}
