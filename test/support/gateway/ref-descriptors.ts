import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { packageRoot } from '../../../src/base/package-root.js';
import { run } from '../../../src/base/process.js';

const GOOGLE = 'node_modules/@grpc/grpc-js-xds/deps/googleapis/google';
const IMPORTS = ['api/annotations', 'api/http', 'api/httpbody', 'rpc/status', 'rpc/error_details'];

/** Descriptors of ref.proto, built into a temporary folder. */
export interface RefDescriptors extends Disposable {
  readonly file: string;
  /** Folder with ref.proto and all that it imports. */
  readonly protoDir: string;
}

/** Builds protos of the fixtures with buf. */
export async function buildRefDescriptors(names: readonly string[] = ['ref']): Promise<RefDescriptors> {
  const dir = mkdtempSync(join(tmpdir(), 'ref-descriptors-'));
  const root = packageRoot();
  for (const name of names)
    cpSync(join(root, `test/fixtures/gateway/${name}.proto`), join(dir, `${name}.proto`));
  mkdirSync(join(dir, 'google'));
  for (const name of IMPORTS)
    cpSync(join(root, GOOGLE, `${name}.proto`), join(dir, 'google', `${name}.proto`));
  writeFileSync(join(dir, 'buf.yaml'), 'version: v2\n');
  const file = join(dir, 'ref.binpb');
  const built = await run(join(root, 'node_modules/.bin/buf'), ['build', dir, '-o', file]);
  if (built.code !== 0) throw new Error(`buf build failed: ${built.stderr}`);
  return { file, protoDir: dir, [Symbol.dispose]: () => rmSync(dir, { recursive: true, force: true }) };
}
