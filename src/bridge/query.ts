import type { DescField, Registry } from '@bufbuild/protobuf';
import type { ReflectMessage } from '@bufbuild/protobuf/reflect';
import { findField, parseScalar, parseText, QUERY_RULES } from './fields.js';
import { GatewayError } from './gateway-error.js';
import { decodePercent, EscapeError } from './percent.js';
import { ParseError } from './scalars.js';

/**
 * Splits a query string or form body into its values by key, in order.
 *
 * @throws GatewayError for a bad escape or a semicolon.
 */
export function parseQuery(text: string, into = new Map<string, string[]>()): Map<string, string[]> {
  for (const part of text.split('&')) {
    if (part === '') continue;
    if (part.includes(';')) throw GatewayError.badRequest('invalid semicolon separator in query');
    const equals = part.indexOf('=');
    const key = unescapeQuery(equals < 0 ? part : part.slice(0, equals));
    const values = into.get(key) ?? [];
    values.push(equals < 0 ? '' : unescapeQuery(part.slice(equals + 1)));
    into.set(key, values);
  }
  return into;
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
      throw new ParseError(`invalid path: ${JSON.stringify(name)} is not a message`);
    const child = message.get(field);
    setQueryParameter(child, rest, values, registry);
    if (!isEmptyValue(child)) message.set(field, child);
  } else if (field.fieldKind === 'list') {
    const list = message.get(field);
    for (const value of values)
      list.add(named('list', field, () => parseText(field, value, QUERY_RULES, registry)));
  } else if (field.fieldKind === 'map') {
    setMapEntry(message, field, values, registry);
  } else {
    if (values.length > 1) {
      throw new ParseError(`too many values for field ${JSON.stringify(field.name)}: ${values.join(', ')}`);
    }
    message.set(
      field,
      named('field', field, () => parseText(field, values[0] ?? '', QUERY_RULES, registry)),
    );
  }
}

/** A google.protobuf.Value without a value cannot be sent. */
function isEmptyValue(message: ReflectMessage): boolean {
  const { desc } = message;
  return (
    desc.typeName === 'google.protobuf.Value' &&
    desc.oneofs.every((kind) => message.oneofCase(kind) === undefined)
  );
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
    throw new ParseError(
      `more than one value provided for key ${JSON.stringify(key)} in map ${JSON.stringify(map)}`,
    );
  }
  if (field.message !== undefined) {
    throw new ParseError(
      `parsing map value "value": unsupported message type: ${JSON.stringify(field.message.typeName)}`,
    );
  }
  const parsedKey = named('map key', field, () => parseScalar(field.mapKey, key, 'decimal'), 'key');
  const parsed = named('map value', field, () => parseText(field, value, QUERY_RULES, registry), 'value');
  message.get(field).set(parsedKey, parsed);
}

function checkOneof(message: ReflectMessage, field: DescField): void {
  const current = field.oneof === undefined ? undefined : message.oneofCase(field.oneof);
  if (current === undefined || (field.fieldKind === 'message' && current === field)) return;
  throw new ParseError(`field already set for oneof ${JSON.stringify(field.oneof?.name)}`);
}

function named<T>(what: string, field: DescField, parse: () => T, name = field.name): T {
  try {
    return parse();
  } catch (err) {
    if (!(err instanceof ParseError)) throw err;
    throw new ParseError(`parsing ${what} ${JSON.stringify(name)}: ${err.message}`);
  }
}

/** The key in proto names, so that no spelling of a key gets past the path parameters. */
function canonicalPath(message: ReflectMessage, path: readonly string[]): string {
  let desc: ReflectMessage['desc'] | undefined = message.desc;
  return path
    .map((name) => {
      const field: DescField | undefined = desc === undefined ? undefined : findField(desc, name);
      desc = field?.fieldKind === 'message' ? field.message : undefined;
      return field?.name ?? name;
    })
    .join('.');
}

function unescapeQuery(text: string): string {
  try {
    return decodePercent(text.replaceAll('+', ' '));
  } catch (err) {
    throw err instanceof EscapeError ? GatewayError.badRequest(err.message) : err;
  }
}
