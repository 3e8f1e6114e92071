import type { DescEnum, DescField, DescFile, DescMessage, DescMethod, DescService } from '@bufbuild/protobuf';

type Commented = DescService | DescMethod | DescMessage | DescField | DescEnum;

/** Comments of a file by the path of what they stand in front of. */
const cache = new WeakMap<DescFile, Map<string, string>>();

/** The comment in front of a declaration; empty when the descriptors hold none. */
export function commentOf(desc: Commented): string {
  const comments = commentsOf(fileOf(desc));
  return comments.get(pathOf(desc).join('.')) ?? '';
}

function commentsOf(file: DescFile): Map<string, string> {
  const known = cache.get(file);
  if (known !== undefined) return known;
  const comments = new Map<string, string>();
  for (const { path, leadingComments } of file.proto.sourceCodeInfo?.location ?? []) {
    if (leadingComments !== '') comments.set(path.join('.'), tidy(leadingComments));
  }
  cache.set(file, comments);
  return comments;
}

/** Lines of one paragraph become one line. */
function tidy(comment: string): string {
  return comment
    .split(/\n\s*\n/)
    .map((paragraph) => paragraph.split('\n').join(' ').replace(/\s+/g, ' ').trim())
    .join('\n\n')
    .trim();
}

function fileOf(desc: Commented): DescFile {
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
  }
}
