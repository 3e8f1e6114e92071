// Writes gen/openapi.json, the OpenAPI document of the hub, from gen/descriptors.binpb.
//
//   node --import tsx scripts/openapi.mjs
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readBindings, readDescriptors } from '../src/bridge/bindings.ts';
import { hubOpenApi } from '../src/bridge/openapi-hub.ts';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const registry = readDescriptors(readFileSync(join(root, 'gen', 'descriptors.binpb')));
const bindings = readBindings(registry).map(({ target }) => target);
const document = hubOpenApi(bindings, registry, version);
writeFileSync(join(root, 'gen', 'openapi.json'), `${JSON.stringify(document, null, 2)}\n`);
