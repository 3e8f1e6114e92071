import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import {
  FieldDescriptorProto_Label,
  FieldDescriptorProto_Type,
  type FileDescriptorProto,
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
  file_google_protobuf_any,
  file_google_protobuf_api,
  file_google_protobuf_descriptor,
  file_google_protobuf_duration,
  file_google_protobuf_empty,
  file_google_protobuf_field_mask,
  file_google_protobuf_source_context,
  file_google_protobuf_struct,
  file_google_protobuf_timestamp,
  file_google_protobuf_type,
  file_google_protobuf_wrappers,
} from '@bufbuild/protobuf/wkt';

/**
 * A set of descriptors that can be used by itself: files in the order in which they need each other, with those of
 * Google's protos that it imports but does not hold, and with the types that details of errors are made of.
 *
 * @param bytes a serialized FileDescriptorSet, of buf or of protoc.
 * @param known another one, from which Google's protos may be taken.
 * @throws Error that says what is wrong with the set.
 */
export function completeDescriptors(bytes: Uint8Array, known: Uint8Array): Uint8Array {
  const given = readSet(bytes);
  const files = new Map([...GOOGLE_FILES, ...readSet(known), ...given].map((file) => [file.name, file]));
  const sorted = new Map<string, FileDescriptorProto>();
  const add = (name: string, importer: string | undefined) => {
    if (sorted.has(name)) return;
    const file = files.get(name);
    if (file === undefined) throw missing(name, importer);
    for (const dependency of file.dependency) add(dependency, name);
    sorted.set(name, file);
  };
  for (const name of ALWAYS) add(name, undefined);
  for (const { name } of given) add(name, undefined);
  return toBinary(FileDescriptorSetSchema, create(FileDescriptorSetSchema, { file: [...sorted.values()] }));
}

/** What no set need hold: the rules, and what errors and raw bodies are made of. */
const ALWAYS = [
  'google/api/annotations.proto',
  'google/api/httpbody.proto',
  'google/rpc/status.proto',
  'google/rpc/error_details.proto',
];

function readSet(bytes: Uint8Array): FileDescriptorProto[] {
  const files = decode(bytes);
  if (files.length === 0 || files.some((file) => file.name === '')) {
    throw new Error('not a set of descriptors; make one with "buf build -o FILE.binpb" or "protoc -o FILE"');
  }
  return files;
}

function decode(bytes: Uint8Array): FileDescriptorProto[] {
  try {
    return fromBinary(FileDescriptorSetSchema, bytes).file;
  } catch {
    return [];
  }
}

function missing(name: string, importer: string | undefined): Error {
  return new Error(
    `it holds ${importer ?? 'a file'} but not ${name}, which that imports; buf adds imports by itself, protoc with --include_imports`,
  );
}

const { BYTES, MESSAGE, STRING } = FieldDescriptorProto_Type;
const HTTP_BODY: MessageInitShape<typeof FileDescriptorProtoSchema> = {
  name: 'google/api/httpbody.proto',
  package: 'google.api',
  syntax: 'proto3',
  dependency: ['google/protobuf/any.proto'],
  messageType: [
    {
      name: 'HttpBody',
      field: [
        { name: 'content_type', jsonName: 'contentType', number: 1, type: STRING },
        { name: 'data', jsonName: 'data', number: 2, type: BYTES },
        {
          name: 'extensions',
          jsonName: 'extensions',
          number: 3,
          type: MESSAGE,
          typeName: '.google.protobuf.Any',
          label: FieldDescriptorProto_Label.REPEATED,
        },
      ],
    },
  ],
};

const GOOGLE_FILES: readonly FileDescriptorProto[] = [
  ...[
    file_google_protobuf_any,
    file_google_protobuf_api,
    file_google_protobuf_descriptor,
    file_google_protobuf_duration,
    file_google_protobuf_empty,
    file_google_protobuf_field_mask,
    file_google_protobuf_source_context,
    file_google_protobuf_struct,
    file_google_protobuf_timestamp,
    file_google_protobuf_type,
    file_google_protobuf_wrappers,
  ].map((file) => file.proto),
  create(FileDescriptorProtoSchema, HTTP_BODY),
];
