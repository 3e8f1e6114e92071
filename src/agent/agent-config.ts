import { readFileSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, resolve } from 'node:path';
import { messageOf } from '../base/errno.js';
import type { GuestBoot } from '../model/guest-boot.js';
import { isName, NAME_PATTERN } from '../model/names.js';
import { BootSource } from './guest/boot-source.js';
import { findTaskUser, type TaskUser } from './task-user.js';

const DEFAULT_FILE = '/etc/vm-agent/config.json';
const DEFAULT_STATE = '.vm-agent';
const DEFAULT_RUN_DIR = '/run/vm-agent';
const MAX_SOCKET_BYTES = 107;
const KEYS = [
  'agentId',
  'token',
  'tokenFile',
  'door',
  'hubUrl',
  'stateDir',
  'vmGeneration',
  'home',
  'allowSudo',
  'capabilities',
  'type',
  'logLevel',
  'taskUser',
  'controlPort',
  'bootDisk',
  'runDir',
] as const;

/** Settings of the agent, with all defaults filled in. */
export interface AgentConfig {
  readonly agentId: string;
  readonly token: string;
  /** `unix:/path` or `host:port`. */
  readonly door: string;
  readonly stateDir: string;
  /** From 1. Default 1. */
  readonly vmGeneration: number;
  /** Default: the home directory of the user that tasks run as. */
  readonly home: string;
  /** Default true. */
  readonly allowSudo: boolean;
  readonly capabilities: readonly string[];
  readonly logLevel: 'debug' | 'info' | 'warn' | 'error';
  /** Tasks, shells, file and git operations are of this user; the agent is root. Default: the agent's own user. */
  readonly taskUser?: TaskUser;
  /** Virtio-serial port (name, or path of a device) on which the host of a virtual machine speaks. Default none. */
  readonly controlPort?: string;
  /** Where a virtual machine is told the rest; see {@link BootSource}. Default none. */
  readonly guest?: { readonly source: BootSource; readonly boot: GuestBoot };
}

/** Bad settings: every one is named. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';

  constructor(readonly problems: readonly string[]) {
    super(`bad settings:\n${problems.map((problem) => `  ${problem}`).join('\n')}`);
  }
}

/** Where the settings come from. */
export interface ConfigSources {
  /** `--config`; must exist when given. */
  readonly file?: string;
  readonly env: NodeJS.ProcessEnv;
  /** User id of this process. Default 0. */
  readonly uid?: number;
}

/**
 * Reads the settings: a JSON file (`--config`, else AGENT_CONFIG, else /etc/vm-agent/config.json), and AGENT_ID,
 * AGENT_TOKEN, VM_AGENT_DOOR or HUB_URL for what the file does not say. In a virtual machine the boot disk says who the
 * agent is and where the hub is.
 *
 * @throws ConfigError naming every bad key.
 */
export function loadAgentConfig(sources: ConfigSources): AgentConfig {
  const { env } = sources;
  const file = sources.file ?? env.AGENT_CONFIG;
  const path = resolve(file ?? DEFAULT_FILE);
  const problems: string[] = [];
  const found = readSettings(path, file !== undefined, problems);
  const guest = readGuest(found, problems);
  const told = guest === undefined ? {} : settingsOf(guest.boot);
  const check = new Settings({ ...fromEnv(env), ...found, ...told }, dirname(path), problems);
  const user = check.user(sources.uid ?? 0);
  const controlPort = check.optional('controlPort');
  const config: AgentConfig = {
    agentId: check.name('agentId'),
    token: check.token(),
    door: check.door(),
    stateDir: check.path('stateDir', resolve(homedir(), DEFAULT_STATE)),
    vmGeneration: check.generation(),
    home: check.path('home', user?.home ?? env.HOME ?? homedir()),
    allowSudo: check.flag('allowSudo', true),
    capabilities: check.capabilities(),
    logLevel: check.logLevel(),
    ...(user === undefined ? {} : { taskUser: user }),
    ...(controlPort === undefined ? {} : { controlPort }),
    ...(guest === undefined ? {} : { guest }),
  };
  if (problems.length > 0) throw new ConfigError(problems);
  return config;
}

type Found = Readonly<Record<string, unknown>>;

function readSettings(path: string, required: boolean, problems: string[]): Found {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (err) {
    if (required) problems.push(`config: ${messageOf(err)}`);
    return {};
  }
  try {
    const parsed: unknown = JSON.parse(text);
    if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed))
      throw new Error('not an object');
    if ('token' in parsed) checkPrivate('config', path, problems);
    for (const key of Object.keys(parsed))
      if (!KEYS.some((known) => known === key))
        problems.push(`${key}: is not a setting; known are ${KEYS.join(', ')}`);
    return parsed as Found;
  } catch (err) {
    problems.push(`config: ${path} must hold a JSON object (${messageOf(err)})`);
    return {};
  }
}

function readGuest(found: Found, problems: string[]): AgentConfig['guest'] {
  const { bootDisk: disk, runDir = DEFAULT_RUN_DIR } = found;
  if (disk === undefined) return undefined;
  try {
    if (typeof disk !== 'string' || disk === '') throw new Error('must be a serial or a path');
    if (typeof runDir !== 'string' || !runDir.startsWith('/')) throw new Error('runDir must be a path');
    const source = new BootSource({ disk, runDir });
    return { source, boot: source.read() };
  } catch (err) {
    problems.push(`bootDisk: ${messageOf(err)}`);
    return undefined;
  }
}

function settingsOf({ agentId, joinSecret, door, vmGeneration }: GuestBoot): Found {
  return { agentId, token: joinSecret, door, vmGeneration };
}

function fromEnv(env: NodeJS.ProcessEnv): Found {
  const door = env.VM_AGENT_DOOR ?? env.HUB_URL;
  return {
    ...(env.AGENT_ID === undefined ? {} : { agentId: env.AGENT_ID }),
    ...(env.AGENT_TOKEN === undefined ? {} : { token: env.AGENT_TOKEN }),
    ...(door === undefined ? {} : { door }),
  };
}

function checkPrivate(key: string, path: string, problems: string[]): void {
  if ((statSync(path).mode & 0o007) !== 0)
    problems.push(`${key}: ${path} holds a secret and may be read by everybody; run chmod 600 on it`);
}

/** Reads single settings and collects what is wrong. */
class Settings {
  constructor(
    private readonly found: Found,
    private readonly dir: string,
    private readonly problems: string[],
  ) {}

  name(key: string): string {
    const value = this.text(key);
    if (value !== undefined && isName(value)) return value;
    this.problems.push(`${key}: is required and must match ${NAME_PATTERN.source}`);
    return '';
  }

  token(): string {
    const [inline, file] = [this.text('token'), this.text('tokenFile')];
    if (file !== undefined && this.found.token === undefined) return this.tokenFrom(resolve(this.dir, file));
    if (inline !== undefined && inline !== '') return inline;
    this.problems.push('token: is required (or tokenFile), and must be a text');
    return '';
  }

  door(): string {
    const value = (this.text('door') ?? this.text('hubUrl') ?? '').replace(/^[a-z+]+:\/\/([^/]+).*$/, '$1');
    const socket = /^unix:(\/.*)$/.exec(value)?.[1];
    if (socket !== undefined && Buffer.byteLength(socket) <= MAX_SOCKET_BYTES) return value;
    if (socket === undefined && /^(\[[0-9a-fA-F:.]+\]|[^:\s/]+):\d{1,5}$/.test(value)) return value;
    const rule = `must be unix:/PATH (at most ${MAX_SOCKET_BYTES} bytes) or HOST:PORT`;
    this.problems.push(`door: is required and ${rule}`);
    return '';
  }

  path(key: string, fallback: string): string {
    const value = this.text(key);
    if (value !== undefined && (value === '' || value.includes('\0')))
      this.problems.push(`${key}: must be a path`);
    return resolve(this.dir, value ?? fallback);
  }

  generation(): number {
    const value = this.found.vmGeneration ?? 1;
    if (typeof value === 'number' && Number.isInteger(value) && value >= 1 && value < 2 ** 31) return value;
    this.problems.push('vmGeneration: must be a whole number from 1');
    return 1;
  }

  flag(key: string, fallback: boolean): boolean {
    const value = this.found[key] ?? fallback;
    if (typeof value === 'boolean') return value;
    this.problems.push(`${key}: must be true or false`);
    return fallback;
  }

  /** A list, or a text with commas as older configurations have it. */
  capabilities(): readonly string[] {
    const value = this.found.capabilities ?? [];
    const list: unknown = typeof value === 'string' ? value.split(',') : value;
    const texts =
      Array.isArray(list) && list.every((item) => typeof item === 'string') ? (list as string[]) : undefined;
    const names = texts?.map((item) => item.trim()).filter((item) => item !== '');
    if (names !== undefined && names.length <= 64) return names;
    this.problems.push('capabilities: must be a list of at most 64 texts');
    return [];
  }

  logLevel(): AgentConfig['logLevel'] {
    const value = this.found.logLevel ?? 'info';
    if (value === 'debug' || value === 'info' || value === 'warn' || value === 'error') return value;
    this.problems.push('logLevel: must be debug, info, warn or error');
    return 'info';
  }

  /** The user of tasks; only root can run what is another user's. */
  user(uid: number): TaskUser | undefined {
    const name = this.optional('taskUser');
    if (name === undefined) return undefined;
    const user = findTaskUser(name);
    if (user === undefined) this.problems.push(`taskUser: this machine has no user ${JSON.stringify(name)}`);
    if (uid !== 0) this.problems.push('taskUser: only an agent that is root can run tasks as another user');
    return user;
  }

  optional(key: string): string | undefined {
    const value = this.text(key);
    if (value === '') this.problems.push(`${key}: must not be empty`);
    return value;
  }

  private text(key: string): string | undefined {
    const value = this.found[key];
    if (value === undefined || typeof value === 'string') return value;
    this.problems.push(`${key}: must be a text`);
    return undefined;
  }

  private tokenFrom(path: string): string {
    try {
      checkPrivate('tokenFile', path, this.problems);
      const token = readFileSync(path, 'utf8').trim();
      if (token === '') this.problems.push(`tokenFile: ${path} is empty`);
      return token;
    } catch (err) {
      this.problems.push(`tokenFile: ${messageOf(err)}`);
      return '';
    }
  }
}
