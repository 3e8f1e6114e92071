import type { DescField } from '@bufbuild/protobuf';

/** The name of a field in text: its own, but that of a group is the name of its message. */
export function textName(field: DescField): string {
  const isGroup = 'delimitedEncoding' in field && field.delimitedEncoding;
  const name = field.message?.name ?? '';
  return isGroup && name.toLowerCase() === field.name ? name : field.name;
}
