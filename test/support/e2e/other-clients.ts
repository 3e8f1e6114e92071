import { access, mkdir, readdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type CommandResult, runCommand } from './command.js';
import { ROOT } from './hub-process.js';

const CACHE = join(ROOT, 'node_modules', '.cache', 'test-clients');
const GRPCURL = 'github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.3';
const BUILD_LIMIT_MS = 400_000;

/** A program to run, or why there is none. */
export type Tool = { readonly path: string } | { readonly missing: string };

/** grpcurl, built once by the Go of this computer. */
export async function grpcurl(): Promise<Tool> {
  const path = join(CACHE, 'grpcurl');
  if (await exists(path)) return { path };
  if (!(await works('go', ['version']))) return { missing: 'there is no Go to build grpcurl' };
  await mkdir(CACHE, { recursive: true });
  const env = { ...process.env, GOBIN: join(CACHE, 'go'), GOFLAGS: '-mod=mod' };
  const built = await tried('go', ['install', GRPCURL], env);
  if (built.exitCode !== 0)
    return { missing: `grpcurl cannot be built here: ${built.stderr.trim().split('\n').pop()}` };
  await rename(join(CACHE, 'go', 'grpcurl'), path);
  return { path };
}

/** A Python with grpcio, and the modules made from the protos on its path. */
export async function pythonWithProtos(): Promise<Tool> {
  const venv = join(CACHE, 'python');
  const path = join(venv, 'bin', 'python');
  const done = join(venv, 'complete');
  if (!(await exists(done))) {
    if (!(await works('python3', ['-m', 'venv', '--help'])))
      return { missing: 'there is no Python with venv' };
    const steps = [
      ['python3', ['-m', 'venv', '--clear', venv]],
      [path, ['-m', 'pip', 'install', '--quiet', 'grpcio', 'grpcio-tools']],
    ] as const;
    for (const [file, args] of steps) {
      const result = await tried(file, args);
      if (result.exitCode !== 0)
        return { missing: `grpcio cannot be installed here: ${result.stderr.trim().split('\n').pop()}` };
    }
    await writeFile(done, '');
  }
  const made = await generateModules(path);
  return made.exitCode === 0 ? { path } : { missing: made.stderr };
}

/** Folder of the modules that {@link pythonWithProtos} makes. */
export const PYTHON_MODULES = join(CACHE, 'modules');

async function generateModules(python: string): Promise<CommandResult> {
  await mkdir(PYTHON_MODULES, { recursive: true });
  const google = join(ROOT, 'node_modules', '@grpc', 'grpc-js-xds', 'deps', 'googleapis');
  const ours = (await readdir(join(ROOT, 'proto', 'vmagent', 'v1'))).map((name) => `vmagent/v1/${name}`);
  const files = [...ours, 'google/api/annotations.proto', 'google/api/http.proto'];
  const outputs = [`--python_out=${PYTHON_MODULES}`, `--grpc_python_out=${PYTHON_MODULES}`];
  const includes = [`-I${join(ROOT, 'proto')}`, `-I${google}`];
  return tried(python, ['-m', 'grpc_tools.protoc', ...includes, ...outputs, ...files]);
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

async function works(file: string, args: readonly string[]): Promise<boolean> {
  return (await tried(file, args)).exitCode === 0;
}

/** Runs a program; one that is not there counts as failed. */
async function tried(file: string, args: readonly string[], env = process.env): Promise<CommandResult> {
  const none = Buffer.alloc(0);
  return runCommand(file, args, { env, timeoutMs: BUILD_LIMIT_MS }).catch((err: Error) => {
    return { exitCode: 127, stdout: '', stderr: err.message, bytes: none, errorBytes: none };
  });
}
