import type {
  DescEnum,
  DescEnumValue,
  DescField,
  DescFile,
  DescMessage,
  DescMethod,
  DescService,
} from '@bufbuild/protobuf';

/** A declaration that may have a comment. */
export type Commented = DescService | DescMethod | DescMessage | DescField | DescEnum | DescEnumValue;

/** Comments of a file by the path of what they belong to. */
const cache = new WeakMap<DescFile, Map<string, string>>();

/** The comment of a declaration, in front of it or behind it; empty when the descriptors hold none. */
export function commentOf(desc: Commented): string {
  const comments = commentsOf(fileOf(desc));
  return comments.get(pathOf(desc).join('.')) ?? '';
}

function commentsOf(file: DescFile): Map<string, string> {
  const known = cache.get(file);
  if (known !== undefined) return known;
  const comments = new Map<string, string>();
  for (const { path, leadingComments, trailingComments } of file.proto.sourceCodeInfo?.location ?? []) {
    const text = tidy(leadingComments) || tidy(trailingComments);
    if (text !== '') comments.set(path.join('.'), text);
  }
  cache.set(file, comments);
  return comments;
}

/** Markdown as it was meant: without the space behind `//`, orders to linters, and what is not for readers. */
function tidy(comment: string): string {
  return comment
    .replace(/\(--.*?--\)/gs, '')
    .split('\n')
    .filter((line) => !/^\s*buf:lint:/.test(line))
    .map((line) => line.replace(/^ /, '').trimEnd())
    .join('\n')
    .replace(/\n{3,}/g, '\n\n')
    .trim();
}

function fileOf(desc: Commented): DescFile {
  if (desc.kind === 'enum_value') return desc.parent.file;
  return desc.kind === 'rpc' || desc.kind === 'field' ? desc.parent.file : desc.file;
}

/** Where a declaration stands in its FileDescriptorProto, as field numbers and indexes. */
function pathOf(desc: Commented): number[] {
  switch (desc.kind) {
    case 'service':
      return [6, desc.file.proto.service.indexOf(desc.proto)];
    case 'rpc':
      return [...pathOf(desc.parent), 2, desc.parent.proto.method.indexOf(desc.proto)];
    case 'field':
      return [...pathOf(desc.parent), 2, desc.parent.proto.field.indexOf(desc.proto)];
    case 'message':
      return desc.parent === undefined
        ? [4, desc.file.proto.messageType.indexOf(desc.proto)]
        : [...pathOf(desc.parent), 3, desc.parent.proto.nestedType.indexOf(desc.proto)];
    case 'enum':
      return desc.parent === undefined
        ? [5, desc.file.proto.enumType.indexOf(desc.proto)]
        : [...pathOf(desc.parent), 4, desc.parent.proto.enumType.indexOf(desc.proto)];
    case 'enum_value':
      return [...pathOf(desc.parent), 2, desc.parent.proto.value.indexOf(desc.proto)];
  }
}
