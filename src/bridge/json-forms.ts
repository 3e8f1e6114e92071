import { type DescField, type DescMessage, ScalarType } from '@bufbuild/protobuf';

/** What JSON a field takes, in words. */
export function fieldForm(field: DescField): string {
  if (field.enum !== undefined) return `one of ${field.enum.values.map((value) => value.name).join(', ')}`;
  if (field.message !== undefined) return messageForm(field.message);
  return field.scalar === undefined ? 'another value' : SCALAR_FORMS[field.scalar];
}

/** What JSON a message takes, in words. */
export function messageForm(desc: DescMessage): string {
  const wrapped = desc.fields[0];
  if (desc.typeName.startsWith('google.protobuf.') && desc.typeName.endsWith('Value') && wrapped?.scalar) {
    return SCALAR_FORMS[wrapped.scalar];
  }
  return MESSAGE_FORMS[desc.typeName] ?? 'an object';
}

/** What Go calls a scalar type. */
export function goKind(field: DescField): string {
  if (field.enum !== undefined) return 'enum';
  return field.scalar === undefined ? 'message' : goScalar(field.scalar);
}

/** What Go calls a scalar type, such as `int32`. */
export function goScalar(type: ScalarType): string {
  return ScalarType[type].toLowerCase();
}

const WIDE = 'a whole number of 64 bits, as a number or a string';
const SIGNED = 'a number, whole, from -2147483648 to 2147483647';
const UNSIGNED = 'a number, whole, from 0 to 4294967295';

const SCALAR_FORMS: Readonly<Record<ScalarType, string>> = {
  [ScalarType.DOUBLE]: 'a number',
  [ScalarType.FLOAT]: 'a number',
  [ScalarType.INT32]: SIGNED,
  [ScalarType.SINT32]: SIGNED,
  [ScalarType.SFIXED32]: SIGNED,
  [ScalarType.UINT32]: UNSIGNED,
  [ScalarType.FIXED32]: UNSIGNED,
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
  'google.protobuf.Value': 'any JSON',
};
