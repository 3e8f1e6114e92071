import { fromBinary } from '@bufbuild/protobuf';
import { BinaryReader, WireType } from '@bufbuild/protobuf/wire';
import {
  type DescriptorProto,
  type FileDescriptorProto,
  FileDescriptorProtoSchema,
} from '@bufbuild/protobuf/wkt';

/** A proto file with the bytes that it came as, so that no option of it is lost on the way out. */
interface PoolFile {
  readonly bytes: Buffer;
  readonly proto: FileDescriptorProto;
}

/** Descriptors of proto files, found by name, by symbol and by extension. */
export class DescriptorPool {
  private readonly files = new Map<string, PoolFile>();
  private readonly symbols = new Map<string, PoolFile>();
  private readonly extensions = new Map<string, Map<number, PoolFile>>();

  /** Adds one serialized FileDescriptorProto. */
  add(bytes: Buffer): void {
    const proto = fromBinary(FileDescriptorProtoSchema, bytes);
    if (this.files.has(proto.name)) return;
    const file = { bytes, proto };
    this.files.set(proto.name, file);
    const scope = proto.package === '' ? '' : `${proto.package}.`;
    for (const message of proto.messageType) this.addMessage(file, scope, message);
    for (const { name, value } of proto.enumType)
      this.addNames(file, scope, [name, ...value.map((v) => v.name)]);
    for (const { name, method } of proto.service) {
      this.addNames(file, scope, [name]);
      this.addNames(
        file,
        `${scope}${name}.`,
        method.map((m) => m.name),
      );
    }
    this.addExtensions(file, scope, proto.extension);
  }

  /** Adds all files of a serialized FileDescriptorSet. */
  addSet(bytes: Uint8Array): void {
    for (const file of rawFiles(bytes)) this.add(file);
  }

  /** The named file and all that it needs. */
  byName(name: string): readonly Buffer[] | undefined {
    return this.withDependencies(this.files.get(name));
  }

  /** The file that declares a fully qualified name, and all that it needs. */
  bySymbol(symbol: string): readonly Buffer[] | undefined {
    return this.withDependencies(this.symbols.get(symbol));
  }

  /** The file that declares an extension of a message, and all that it needs. */
  byExtension(message: string, number: number): readonly Buffer[] | undefined {
    return this.withDependencies(this.extensions.get(message)?.get(number));
  }

  /** Numbers of all known extensions of a message; undefined when the message is not known. */
  extensionNumbers(message: string): readonly number[] | undefined {
    const numbers = [...(this.extensions.get(message)?.keys() ?? [])];
    return numbers.length > 0 || this.symbols.has(message) ? numbers : undefined;
  }

  private withDependencies(file: PoolFile | undefined): readonly Buffer[] | undefined {
    if (file === undefined) return undefined;
    const found = new Set<PoolFile>([file]);
    for (const one of found)
      for (const name of one.proto.dependency) {
        const dependency = this.files.get(name);
        if (dependency !== undefined) found.add(dependency);
      }
    return [...found].map(({ bytes }) => bytes);
  }

  private addMessage(file: PoolFile, scope: string, message: DescriptorProto): void {
    const inner = `${scope}${message.name}.`;
    this.addNames(file, scope, [message.name]);
    this.addNames(
      file,
      inner,
      [...message.field, ...message.oneofDecl].map(({ name }) => name),
    );
    for (const { name, value } of message.enumType)
      this.addNames(file, inner, [name, ...value.map((v) => v.name)]);
    for (const nested of message.nestedType) this.addMessage(file, inner, nested);
    this.addExtensions(file, inner, message.extension);
  }

  private addExtensions(file: PoolFile, scope: string, extensions: DescriptorProto['extension']): void {
    this.addNames(
      file,
      scope,
      extensions.map(({ name }) => name),
    );
    for (const { extendee, number } of extensions) {
      const message = extendee.replace(/^\./, '');
      const numbers = this.extensions.get(message) ?? new Map<number, PoolFile>();
      numbers.set(number, file);
      this.extensions.set(message, numbers);
    }
  }

  private addNames(file: PoolFile, scope: string, names: readonly string[]): void {
    for (const name of names) this.symbols.set(scope + name, file);
  }
}

/** Field 1 of a FileDescriptorSet, as it stands there. */
function* rawFiles(bytes: Uint8Array): Iterable<Buffer> {
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    if (field === 1 && type === WireType.LengthDelimited) yield Buffer.from(reader.bytes());
    else reader.skip(type);
  }
}
