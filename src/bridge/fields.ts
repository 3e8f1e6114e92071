import { create, type DescField, type DescMessage, type Registry } from '@bufbuild/protobuf';
import { type ReflectMessage, reflect } from '@bufbuild/protobuf/reflect';
import { GatewayError } from './gateway-error.js';
import { goQuote } from './go-quote.js';
import { parseGoDuration, parseGoTime, TIMESTAMP_RANGE } from './go-time.js';
import { messageFromWholeJson } from './json-input.js';
import { type IntegerBase, ParseError, parseInteger } from './scalars.js';
import { textName } from './text-name.js';
import { parseScalar } from './text-scalars.js';

/** How the text of a path or query parameter is read. */
export interface TextRules {
  readonly integers: IntegerBase;
  /** Whether it is of a path: times and spans are written as in JSON there, as in Go in a query. */
  readonly isPath: boolean;
}

/** Rules for path parameters. */
export const PATH_RULES: TextRules = { integers: 'any', isPath: true };
/** Rules for query parameters. */
export const QUERY_RULES: TextRules = { integers: 'decimal', isPath: false };

/** The field of a message by its name in text, else by its JSON name. */
export function findField(desc: DescMessage, name: string): DescField | undefined {
  return (
    desc.fields.find((field) => textName(field) === name) ??
    desc.fields.find((field) => field.jsonName === name)
  );
}

/** Reads a text as the value of a scalar or enum type, or as a well-known message. @throws ParseError. */
export function parseText(field: DescField, text: string, rules: TextRules, registry: Registry): unknown {
  if (field.enum !== undefined) return parseEnum(field, text, rules);
  if (field.message !== undefined) return parseMessage(field.message, text, rules, registry);
  return field.scalar === undefined ? text : parseScalar(field.scalar, text, rules.integers);
}

function parseEnum(field: DescField, text: string, { integers, isPath }: TextRules): number {
  const values = field.enum?.values ?? [];
  const byName = values.find((value) => value.name === text);
  if (byName !== undefined) return byName.number;
  const number = enumNumber(text, integers);
  if (values.some((value) => value.number === number)) return number;
  throw new ParseError(isPath ? `${text} is not valid` : `${goQuote(text)} is not a valid value`);
}

function enumNumber(text: string, integers: IntegerBase): number {
  try {
    if (integers === 'any') return Number(parseInteger(text, 32, 'any'));
    // Go cuts such a number to 32 bits without looking.
    return Number(BigInt.asIntN(32, parseInteger(text, 64, 'decimal')));
  } catch (err) {
    if (err instanceof ParseError) return Number.NaN;
    throw err;
  }
}

function parseMessage(desc: DescMessage, text: string, rules: TextRules, registry: Registry): ReflectMessage {
  switch (desc.typeName) {
    case 'google.protobuf.Timestamp':
      return rules.isPath ? fromQuoted(desc, text, registry) : goTimestamp(desc, text);
    case 'google.protobuf.Duration':
      return rules.isPath ? fromQuoted(desc, text, registry) : withFields(desc, parseGoDuration(text));
    case 'google.protobuf.FieldMask':
      return withFields(desc, { paths: text.split(',') });
    case 'google.protobuf.Struct':
    case 'google.protobuf.Value':
      return fromJson(desc, text, registry);
    default:
      return wrapper(desc, text, rules);
  }
}

function wrapper(desc: DescMessage, text: string, rules: TextRules): ReflectMessage {
  const value = desc.fields[0];
  const isWrapper = desc.typeName.startsWith('google.protobuf.') && desc.typeName.endsWith('Value');
  if (!isWrapper || value?.fieldKind !== 'scalar') {
    throw new ParseError(`unsupported message type: ${goQuote(desc.typeName)}`);
  }
  return withFields(desc, { [value.localName]: parseScalar(value.scalar, text, rules.integers) });
}

function goTimestamp(desc: DescMessage, text: string): ReflectMessage {
  const time = parseGoTime(text);
  const { first, last } = TIMESTAMP_RANGE;
  if (time.seconds < first || time.seconds > last) throw new ParseError(`${text} before 0001-01-01`);
  return withFields(desc, { ...time });
}

/** As JSON in quotes, whether they are there or not. */
function fromQuoted(desc: DescMessage, text: string, registry: Registry): ReflectMessage {
  return fromJson(desc, JSON.stringify(text.replace(/^"+|"+$/g, '')), registry);
}

function fromJson(desc: DescMessage, text: string, registry: Registry): ReflectMessage {
  const options = { registry, rejectUnknownFields: true, fieldViolations: false };
  try {
    return messageFromWholeJson(desc, text, options);
  } catch (err) {
    if (err instanceof GatewayError) throw new ParseError(err.message, { cause: err });
    throw err;
  }
}

function withFields(desc: DescMessage, init: object): ReflectMessage {
  return reflect(desc, Object.assign(create(desc), init), false);
}
