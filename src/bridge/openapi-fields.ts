import { type DescField, type DescMessage, getOption, type Registry } from '@bufbuild/protobuf';
import { FeatureSet_FieldPresence } from '@bufbuild/protobuf/wkt';
import { commentOf } from './comments.js';
import type { Schema } from './openapi-types.js';

/** What a field is for, by `google.api.field_behavior` or by the first words of its comment. */
export type Behavior = 'required' | 'output-only' | 'input-only';

const BY_NUMBER: Readonly<Record<number, Behavior>> = { 2: 'required', 3: 'output-only', 4: 'input-only' };
const BY_WORDS: readonly (readonly [RegExp, Behavior])[] = [
  [/^Required\b/, 'required'],
  [/^Output only\b/i, 'output-only'],
  [/^Input only\b/i, 'input-only'],
];

/** How a field behaves; more than one may hold. */
export function behaviorsOf(field: DescField, registry: Registry): ReadonlySet<Behavior> {
  const found = new Set<Behavior>();
  const extension = registry.getExtension('google.api.field_behavior');
  const numbers = extension === undefined ? [] : getOption(field, extension);
  if (Array.isArray(numbers)) {
    for (const number of numbers) {
      const behavior = BY_NUMBER[Number(number)];
      if (behavior !== undefined) found.add(behavior);
    }
  }
  const comment = commentOf(field);
  for (const [words, behavior] of BY_WORDS) if (words.test(comment)) found.add(behavior);
  if (field.presence === FeatureSet_FieldPresence.LEGACY_REQUIRED) found.add('required');
  return found;
}

/** What answers hold for a field that is not set: its default value, null, or nothing. */
export function absenceOf(field: DescField): 'default' | 'null' | 'left out' {
  if (field.fieldKind === 'list' || field.fieldKind === 'map') return 'default';
  if (field.oneof !== undefined || field.proto.proto3Optional) return 'left out';
  if (field.fieldKind === 'message') return 'null';
  const { IMPLICIT, LEGACY_REQUIRED } = FeatureSet_FieldPresence;
  return field.presence === IMPLICIT || field.presence === LEGACY_REQUIRED ? 'default' : 'null';
}

/** Says that at most one member of each oneof is there. */
export function oneofSchema(desc: DescMessage, fields: readonly DescField[]): Schema {
  const rules = desc.oneofs
    .map((oneof) => fields.filter((field) => field.oneof === oneof).map((field) => field.jsonName))
    .filter((names) => names.length > 1)
    .map((names) => {
      const some = names.map((name) => ({ required: [name] }));
      return { oneOf: [...some, { not: { anyOf: some } }] };
    });
  return rules.length === 0 ? {} : { allOf: rules };
}
