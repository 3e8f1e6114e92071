import type { DescMessage } from '@bufbuild/protobuf';
import type { ReflectMessage } from '@bufbuild/protobuf/reflect';
import { FeatureSet_FieldPresence } from '@bufbuild/protobuf/wkt';

const known = new WeakMap<DescMessage, boolean>();

/** Whether messages of a type have required fields, at any depth. */
function hasRequired(desc: DescMessage): boolean {
  const found = known.get(desc);
  if (found !== undefined) return found;
  // Types may hold each other: while one is looked at, it counts as without.
  known.set(desc, false);
  const has = desc.fields.some(
    ({ presence, message }) =>
      presence === FeatureSet_FieldPresence.LEGACY_REQUIRED ||
      (message !== undefined && hasRequired(message)),
  );
  known.set(desc, has);
  return has;
}

/** The full name of a required field of a message, at any depth, that is not set; undefined when all are. */
export function missingField(message: ReflectMessage): string | undefined {
  if (!hasRequired(message.desc)) return undefined;
  for (const field of message.fields) {
    if (!message.isSet(field)) {
      if (field.presence === FeatureSet_FieldPresence.LEGACY_REQUIRED)
        return `${message.desc.typeName}.${field.name}`;
      continue;
    }
    if (field.message === undefined) continue;
    const values =
      field.fieldKind === 'map' ? [...message.get(field)].map(([, value]) => value) : message.get(field);
    const messages = field.fieldKind === 'message' ? [values] : [...(values as Iterable<unknown>)];
    for (const inner of messages as ReflectMessage[]) {
      const missing = missingField(inner);
      if (missing !== undefined) return missing;
    }
  }
  return undefined;
}
