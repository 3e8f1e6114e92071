import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import {
  type CommandOptions,
  type CommandResult,
  type RunningCommand,
  runCommand,
  startCommand,
} from './command.js';
import { freePorts } from './free-ports.js';
import { at, list } from './json-path.js';
import { expectNothingLeft, removeSockets } from './leftovers.js';

/** The root of this repository. */
export const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
/** The built CLI. */
export const CLI = join(ROOT, 'cli', 'vm-agent');

export interface HubOptions {
  /** Further environment of the hub. */
  readonly env?: NodeJS.ProcessEnv;
  /** Further arguments of `vm-agent hub`. */
  readonly args?: readonly string[];
  /** Home of the hub, a directory that is there. Default: a new one. */
  readonly home?: string;
  /** Command line that the hub is started by, such as one that changes what it sees. */
  readonly within?: readonly string[];
}

/** An answer of the REST door. */
export interface RestAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** The body as JSON; undefined when it is not JSON. */
  readonly json: unknown;
  /** The value at a path such as `agents.0.id` of the JSON. */
  at(path: string): unknown;
}

/** A real hub, started by the built CLI on a home and ports of its own. */
export class HubProcess {
  private constructor(
    readonly home: string,
    readonly grpcPort: number,
    readonly httpPort: number,
    readonly dashboardPort: number,
    private readonly options: HubOptions,
    private command: RunningCommand,
  ) {}

  /** Starts a hub and waits until it is healthy. */
  static async start(options: HubOptions = {}): Promise<HubProcess> {
    if (!existsSync(join(ROOT, 'dist', '.built'))) throw new Error('dist/ is missing; run make build first');
    const home = options.home ?? (await mkdtemp(join(tmpdir(), 'vm-agent-e2e-')));
    const [grpc = 0, http = 0, dashboard = 0] = await freePorts(3);
    const command = startHub({ ...hubEnv(home, grpc, http, dashboard), ...options.env }, options);
    const hub = new HubProcess(home, grpc, http, dashboard, options, command);
    await hub.healthy().catch(async (err: unknown) => {
      await hub.close();
      throw err;
    });
    return hub;
  }

  get pid(): number {
    return this.command.child.pid ?? -1;
  }

  get grpcAddress(): string {
    return `127.0.0.1:${this.grpcPort}`;
  }

  get httpUrl(): string {
    return `http://127.0.0.1:${this.httpPort}`;
  }

  /** Environment of a CLI that talks to this hub. */
  get env(): NodeJS.ProcessEnv {
    const env = hubEnv(this.home, this.grpcPort, this.httpPort, this.dashboardPort);
    return { ...env, VM_AGENT_HUB: this.grpcAddress, NO_COLOR: '1' };
  }

  /** What the hub printed so far. */
  get output(): string {
    return this.command.stdout + this.command.stderr;
  }

  /** Runs the built CLI to its end. */
  cli(args: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
    return runCommand(CLI, args, { ...options, env: { ...this.env, ...options.env } });
  }

  /** Runs the built CLI and fails with what it printed unless it ends with 0. */
  async ok(args: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
    const result = await this.cli(args, options);
    if (result.exitCode !== 0) {
      throw new Error(
        `vm-agent ${args.join(' ')} ended with ${result.exitCode}: ${result.stdout}${result.stderr}`,
      );
    }
    return result;
  }

  /** Starts the built CLI. */
  startCli(args: readonly string[], options: CommandOptions = {}): RunningCommand {
    return startCommand(CLI, args, { ...options, env: { ...this.env, ...options.env } });
  }

  /** Calls the REST door. */
  async rest(
    method: string,
    path: string,
    body?: unknown,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<RestAnswer> {
    const response = await fetch(this.httpUrl + path, {
      method,
      headers: { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
      signal: AbortSignal.timeout(60_000),
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    const text = await response.text();
    const json = parsed(text);
    return { status: response.status, headers: response.headers, text, json, at: (name) => at(json, name) };
  }

  /** The task as it ended: the last line of its watch, which ends with it. */
  async ended(id: unknown): Promise<unknown> {
    const { text } = await this.rest('GET', `/tasks/${id}:watch`);
    return at(parsed(text.trim().split('\n').pop() ?? ''), 'result.task');
  }

  /** Admin token of this hub. */
  async token(): Promise<string> {
    return (await readFile(join(this.home, 'token'), 'utf8')).trim();
  }

  /** Content of a file in `logs/`. */
  logFile(name: string): Promise<string> {
    return readFile(join(this.home, 'logs', name), 'utf8');
  }

  /** Whether the hub is not running. */
  get gone(): boolean {
    const { exitCode, signalCode } = this.command.child;
    return exitCode !== null || signalCode !== null;
  }

  /** Ends the hub as a loss of power would. Its agents live on. */
  async crash(): Promise<void> {
    this.command.child.kill('SIGKILL');
    await this.command.ended();
  }

  /** Starts the hub again on the same home and ports. */
  async startAgain(changed: HubOptions = {}): Promise<void> {
    const options = { ...this.options, ...changed };
    const env = hubEnv(this.home, this.grpcPort, this.httpPort, this.dashboardPort);
    this.command = startHub({ ...env, ...options.env }, options);
    await this.healthy();
  }

  /** Ends the hub by SIGTERM and resolves with how it ended. */
  stop(): Promise<CommandResult> {
    this.command.child.kill('SIGTERM');
    return this.command.ended(30_000);
  }

  /** Destroys all agents, ends the hub, removes its home, and fails when something is left. */
  async close(): Promise<void> {
    try {
      if (!this.gone) {
        await this.destroyAgents();
        await this.stop();
      }
      await expectNothingLeft(this.home);
    } finally {
      this.command.child.kill('SIGKILL');
      await removeSockets(this.output);
      await rm(this.home, { recursive: true, force: true });
    }
  }

  private async destroyAgents(): Promise<void> {
    const answer = await this.rest('GET', '/agents').catch(() => undefined);
    const names = list(answer?.json, 'agents').map((agent) => String(at(agent, 'id')));
    await Promise.all(names.map((name) => this.cli(['destroy', name, '--force'])));
  }

  private async healthy(): Promise<void> {
    const deadline = Date.now() + 30_000;
    for (;;) {
      const { child } = this.command;
      if (child.exitCode !== null) throw new Error(`the hub ended at once: ${this.output}`);
      const answer = await fetch(`${this.httpUrl}/healthz`).then(
        (res) => res.ok,
        () => false,
      );
      if (answer) return;
      if (Date.now() > deadline) throw new Error(`the hub is not healthy after 30 s: ${this.output}`);
      await sleep(20);
    }
  }
}

function startHub(env: NodeJS.ProcessEnv, { args = [], within = [] }: HubOptions): RunningCommand {
  const [file = CLI, ...rest] = [...within, CLI, 'hub', ...args];
  return startCommand(file, rest, { env });
}

function hubEnv(home: string, grpc: number, http: number, dashboard: number): NodeJS.ProcessEnv {
  const { PATH, TMPDIR, HOME, LANG } = process.env;
  const ports = { VM_AGENT_GRPC_PORT: `${grpc}`, HTTP_PORT: `${http}`, DASHBOARD_PORT: `${dashboard}` };
  return {
    PATH,
    HOME,
    ...(TMPDIR ? { TMPDIR } : {}),
    ...(LANG ? { LANG } : {}),
    ...ports,
    VM_AGENT_HOME: home,
  };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
