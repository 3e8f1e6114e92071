import { access, cp, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type RunningCommand, runCommand, startCommand } from '../../test/support/e2e/command.js';
import { ROOT } from '../../test/support/e2e/hub-process.js';

const SOURCE = fileURLToPath(new URL('../gateway-go', import.meta.url));
const CACHE = join(ROOT, 'node_modules', '.cache', 'bench');
const BIN = join(CACHE, 'bin');
const WORK = join(CACHE, 'go');
const GATEWAY = join(BIN, 'gateway');
const BUILD_MS = 400_000;
const PLUGINS = [
  'github.com/grpc-ecosystem/grpc-gateway/v2/protoc-gen-grpc-gateway@v2.30.0',
  'google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.11',
  'google.golang.org/grpc/cmd/protoc-gen-go-grpc@v1.6.0',
];

/** A stock grpc-gateway in Go over a hub. */
export class GoGateway implements AsyncDisposable {
  private constructor(
    private readonly command: RunningCommand,
    readonly port: number,
  ) {}

  /** Starts it over a hub; built first when it is not there. @throws when it cannot be built here. */
  static async start(hub: string): Promise<GoGateway> {
    await build();
    const command = startCommand(GATEWAY, [hub]);
    await command.printed(/:\d+\n/);
    return new GoGateway(command, Number(/:(\d+)\n/.exec(command.stdout)?.[1]));
  }

  get pid(): number {
    return this.command.child.pid ?? 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.command.child.kill('SIGTERM');
    await this.command.ended();
  }
}

/** A stock gateway over a hub; undefined, with a line that says why, where it cannot be built or run. */
export async function startGoGateway(hub: string): Promise<GoGateway | undefined> {
  try {
    return await GoGateway.start(hub);
  } catch (err) {
    console.error('SKIPPED: the comparison with a Go grpc-gateway, which cannot be built or run here:', err);
    return undefined;
  }
}

/** Builds the gateway from our protos; its generated code stays in the cache. */
async function build(): Promise<void> {
  await run('go', ['version']);
  for (const plugin of PLUGINS) {
    const name = /([^/]+)@/.exec(plugin)?.[1] ?? '';
    if (!(await isThere(join(BIN, name)))) await run('go', ['install', plugin]);
  }
  await mkdir(WORK, { recursive: true });
  await cp(SOURCE, WORK, { recursive: true });
  await copyProtos();
  const buf = join(ROOT, 'node_modules', '.bin', 'buf');
  await run(buf, ['generate', 'proto', '--path', 'proto/vmagent', '--template', 'buf.gen.yaml']);
  await run('go', ['build', '-o', GATEWAY, '.']);
}

/** Our protos, and those of google.api, which are not in the repository. */
async function copyProtos(): Promise<void> {
  const google = join(ROOT, 'node_modules', '@grpc', 'grpc-js-xds', 'deps', 'googleapis', 'google', 'api');
  const to = join(WORK, 'proto', 'google', 'api');
  await cp(join(ROOT, 'proto', 'vmagent'), join(WORK, 'proto', 'vmagent'), { recursive: true });
  for (const name of ['annotations.proto', 'http.proto']) await cp(join(google, name), join(to, name));
}

async function run(file: string, args: readonly string[]): Promise<void> {
  await mkdir(WORK, { recursive: true });
  const env = { ...process.env, GOBIN: BIN, GOFLAGS: '-mod=mod', PATH: `${BIN}:${process.env.PATH}` };
  const { exitCode, stderr } = await runCommand(file, args, { env, cwd: WORK, timeoutMs: BUILD_MS });
  if (exitCode !== 0) throw new Error(`${file} ${args[0]} ended with ${exitCode}: ${stderr.slice(0, 500)}`);
}

async function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
