import { fromBinary, toBinary } from '@bufbuild/protobuf';
import { type DescriptorProto, FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt';

/**
 * A serialized FileDescriptorProto with every type name fully qualified, as protoc writes them. The ones that
 * @grpc/proto-loader makes are relative, which strict readers of reflection refuse. The file must need no other.
 */
export function qualifyTypeNames(bytes: Uint8Array): Buffer {
  const file = fromBinary(FileDescriptorProtoSchema, bytes);
  const scope = `.${file.package}`;
  const known = new Set(file.enumType.map(({ name }) => `${scope}.${name}`));
  for (const message of file.messageType) collect(message, scope, known);
  for (const message of file.messageType) qualify(message, scope, known);
  return Buffer.from(toBinary(FileDescriptorProtoSchema, file));
}

function collect(message: DescriptorProto, scope: string, known: Set<string>): void {
  const name = `${scope}.${message.name}`;
  known.add(name);
  for (const { name: inner } of message.enumType) known.add(`${name}.${inner}`);
  for (const nested of message.nestedType) collect(nested, name, known);
}

function qualify(message: DescriptorProto, scope: string, known: ReadonlySet<string>): void {
  const name = `${scope}.${message.name}`;
  for (const field of message.field) field.typeName = lookUp(field.typeName, name, known);
  for (const nested of message.nestedType) qualify(nested, name, known);
}

/** The innermost scope that has the name wins. */
function lookUp(typeName: string, scope: string, known: ReadonlySet<string>): string {
  if (typeName === '' || typeName.startsWith('.')) return typeName;
  for (let outer = scope; outer !== ''; outer = outer.slice(0, outer.lastIndexOf('.'))) {
    const candidate = `${outer}.${typeName}`;
    if (known.has(candidate)) return candidate;
  }
  return `.${typeName}`;
}
