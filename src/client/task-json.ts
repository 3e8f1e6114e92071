import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createFileRegistry, fromBinary, fromJsonString, toBinary } from '@bufbuild/protobuf';
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import { CreateTaskRequest } from '../../gen/vmagent/v1/hub_service.js';
import { messageOf } from '../base/errno.js';
import { packageRoot } from '../base/package-root.js';
import { HubError } from '../model/hub-error.js';

/**
 * Reads a task as REST does: proto3 JSON, unknown fields ignored.
 *
 * @throws HubError INVALID_FIELD for what is not JSON or has fields of a wrong type.
 */
export function taskFromJson(text: string): CreateTaskRequest {
  const files = fromBinary(
    FileDescriptorSetSchema,
    readFileSync(join(packageRoot(), 'gen', 'descriptors.binpb')),
  );
  const registry = createFileRegistry(files);
  const schema = registry.getMessage('vmagent.v1.CreateTaskRequest');
  if (!schema) throw new Error('gen/descriptors.binpb lacks vmagent.v1.CreateTaskRequest');
  try {
    const message = fromJsonString(schema, text, { ignoreUnknownFields: true, registry });
    return CreateTaskRequest.decode(toBinary(schema, message));
  } catch (err) {
    const description = messageOf(err).replace('vmagent.v1.CreateTaskRequest.', '');
    throw HubError.invalid({ field: 'task', description: `must be a task in JSON: ${description}` });
  }
}
