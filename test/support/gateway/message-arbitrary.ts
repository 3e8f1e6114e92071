import {
  create,
  type DescEnum,
  type DescField,
  type DescMessage,
  fromBinary,
  fromJson,
  type JsonObject,
  type JsonValue,
  type Message,
  type Registry,
  ScalarType,
  toBinary,
  toJson,
} from '@bufbuild/protobuf';
import {
  AnySchema,
  anyPack,
  FeatureSet_FieldPresence,
  ListValueSchema,
  ValueSchema,
} from '@bufbuild/protobuf/wkt';
import fc from 'fast-check';

/** What random messages may hold. */
export interface MessageOptions {
  /** How deep messages may stand inside messages. */
  readonly depth: number;
  /** Fields of the outermost message that may be set; all when left out. */
  readonly fields?: (field: DescField) => boolean;
  /** Leaves out what has no canonical form: numbers of enums that have no name, and numbers that JSON lacks. */
  readonly plain?: boolean;
  /** Messages that a google.protobuf.Any may hold. */
  readonly packable?: readonly DescMessage[];
}

/** A random message of a type, made by its descriptor. */
export function messageOf(desc: DescMessage, options: MessageOptions): fc.Arbitrary<Message> {
  const known = wellKnown(desc, options);
  if (known !== undefined) return known;
  const fields = desc.fields.filter(
    (field) => (options.fields?.(field) ?? true) && (options.depth > 0 || !isPlainMessage(field)),
  );
  const { fields: _, ...inside } = options;
  const members: Record<string, fc.Arbitrary<unknown>> = {};
  for (const field of fields) {
    if (field.oneof === undefined) members[field.localName] = fieldValue(field, inside);
  }
  for (const oneof of desc.oneofs) {
    const cases = fields
      .filter((field) => field.oneof === oneof)
      .map((field) => fc.record({ case: fc.constant(field.localName), value: fieldValue(field, inside) }));
    if (cases.length > 0) members[oneof.localName] = fc.oneof(...cases);
  }
  const requiredKeys = fields
    .filter((field) => field.presence === FeatureSet_FieldPresence.LEGACY_REQUIRED)
    .map((field) => field.localName);
  return fc.record(members, { requiredKeys }).map((init) => create(desc, init));
}

/**
 * A message as a plain value, as it comes off the wire: two messages are the same when these are deeply equal.
 */
export function plain(desc: DescMessage, message: Message, registry: Registry): JsonValue {
  return toJson(desc, fromBinary(desc, toBinary(desc, message)), { registry });
}

/** Text without lone surrogates. */
export const text: fc.Arbitrary<string> = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 12 }),
  fc.constantFrom(
    '',
    '"\\/\b\f\n\r\t',
    '<&>\u2028\u2029\u007f',
    '\u0000\u001f',
    '%41+;&=',
    '💣é',
    'null',
    '__proto__',
  ),
);

/** A JSON object. */
export const jsonObject: fc.Arbitrary<JsonObject> = fc
  .dictionary(text, fc.jsonValue({ maxDepth: 2 }) as fc.Arbitrary<JsonValue>, { maxKeys: 3 })
  .map((value) => JSON.parse(JSON.stringify(value)));

function isPlainMessage(field: DescField): boolean {
  return field.message !== undefined && !field.message.typeName.startsWith('google.protobuf.');
}

function fieldValue(field: DescField, options: MessageOptions): fc.Arbitrary<unknown> {
  if (field.fieldKind === 'list') return fc.array(itemValue(field, options), { maxLength: 3 });
  if (field.fieldKind === 'map') {
    const keys = scalar(field.mapKey, options).map(String);
    return fc
      .array(fc.tuple(keys, itemValue(field, options)), { maxLength: 3 })
      .map((entries) => Object.fromEntries(entries));
  }
  return itemValue(field, options);
}

function itemValue(field: DescField, options: MessageOptions): fc.Arbitrary<unknown> {
  if (field.enum !== undefined) return enumValue(field.enum, options);
  if (field.message === undefined) return scalar(field.scalar ?? ScalarType.STRING, options);
  const isWrapped =
    field.fieldKind === 'message' && field.oneof === undefined && /Value$/.test(field.message.typeName);
  const [value] = field.message.fields;
  // The library holds wrappers and structs that are fields as bare values.
  if (isWrapped && field.message.fields.length === 1 && value?.fieldKind === 'scalar') {
    return scalar(value.scalar, options);
  }
  if (field.fieldKind === 'message' && field.message.typeName === 'google.protobuf.Struct') return jsonObject;
  return messageOf(field.message, { ...options, depth: options.depth - 1 });
}

function enumValue(desc: DescEnum, { plain: isPlain = false }: MessageOptions): fc.Arbitrary<number> {
  const known = fc.constantFrom(...desc.values.map((value) => value.number));
  if (isPlain || desc.typeName === 'google.protobuf.NullValue') return known;
  return fc.oneof({ weight: 4, arbitrary: known }, { weight: 1, arbitrary: int32 });
}

const int32 = fc.oneof(fc.constantFrom(0, 1, -1, 2 ** 31 - 1, -(2 ** 31)), fc.integer());
const uint32 = fc.oneof(fc.constantFrom(0, 2 ** 32 - 1), fc.nat(2 ** 32 - 1));
const int64 = fc.oneof(
  fc.constantFrom(0n, 2n ** 63n - 1n, -(2n ** 63n)),
  fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n),
);
const uint64 = fc.oneof(fc.constantFrom(0n, 2n ** 64n - 1n), fc.bigInt(0n, 2n ** 64n - 1n));

/** A random value of a scalar type. */
export function scalar(type: ScalarType, { plain: isPlain = false }: Pick<MessageOptions, 'plain'> = {}) {
  const only = { noNaN: isPlain, noDefaultInfinity: isPlain };
  const values: Readonly<Record<ScalarType, fc.Arbitrary<unknown>>> = {
    [ScalarType.DOUBLE]: fc.oneof(
      fc.double(only),
      int32.map((n) => n / 1000),
    ),
    [ScalarType.FLOAT]: fc.oneof(
      fc.float(only),
      fc.constantFrom(0.1, 3.4028234663852886e38).map(Math.fround),
    ),
    [ScalarType.INT32]: int32,
    [ScalarType.SINT32]: int32,
    [ScalarType.SFIXED32]: int32,
    [ScalarType.UINT32]: uint32,
    [ScalarType.FIXED32]: uint32,
    [ScalarType.INT64]: int64,
    [ScalarType.SINT64]: int64,
    [ScalarType.SFIXED64]: int64,
    [ScalarType.UINT64]: uint64,
    [ScalarType.FIXED64]: uint64,
    [ScalarType.BOOL]: fc.boolean(),
    [ScalarType.STRING]: text,
    [ScalarType.BYTES]: fc.uint8Array({ maxLength: 12 }),
  };
  return values[type];
}

const DAY_0 = -62_135_596_800;
const LAST_SECOND = 253_402_300_799;
const LONGEST = 315_576_000_000;

function wellKnown(desc: DescMessage, options: MessageOptions): fc.Arbitrary<Message> | undefined {
  const of = (init: fc.Arbitrary<Record<string, unknown>>): fc.Arbitrary<Message> =>
    init.map((value) => create(desc, value));
  const nanos = fc.oneof(fc.constantFrom(0, 1, 500_000_000, 999_999_999, 1_000), fc.nat(999_999_999));
  const [value] = desc.fields;
  switch (desc.typeName) {
    case 'google.protobuf.Timestamp':
      return of(fc.record({ seconds: fc.integer({ min: DAY_0, max: LAST_SECOND }).map(BigInt), nanos }));
    case 'google.protobuf.Duration':
      return of(
        fc
          .tuple(fc.integer({ min: 0, max: LONGEST - 1 }), nanos, fc.boolean())
          .map(([seconds, part, isNegative]) => ({
            seconds: BigInt(isNegative ? -seconds : seconds),
            nanos: isNegative ? -part || 0 : part,
          })),
      );
    case 'google.protobuf.FieldMask':
      return of(
        fc.record({
          paths: fc.array(fc.stringMatching(/^[a-z]{1,3}(_[a-z]{1,3}|\.[a-z]{1,3})?$/), { maxLength: 3 }),
        }),
      );
    case 'google.protobuf.Value':
      return jsonObject.map(({ ...members }) => fromJson(ValueSchema, Object.values(members)[0] ?? members));
    case 'google.protobuf.ListValue':
      return jsonObject.map((members) => fromJson(ListValueSchema, Object.values(members)));
    case 'google.protobuf.Any':
      return anyOf(options);
    default:
      if (desc.typeName.endsWith('Value') && desc.typeName.startsWith('google.protobuf.') && value?.scalar)
        return of(fc.record({ value: scalar(value.scalar, options) }));
      return undefined;
  }
}

function anyOf({ packable = [], ...options }: MessageOptions): fc.Arbitrary<Message> {
  const kinds = packable.map((desc) =>
    messageOf(desc, { ...options, depth: 0 }).map((message) => anyPack(desc, message)),
  );
  return kinds.length === 0 ? fc.constant(create(AnySchema)) : fc.oneof(...kinds);
}
