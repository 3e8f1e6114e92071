import { readFileSync } from 'node:fs';
import { isErrno, messageOf } from '../base/errno.js';
import { LOG_LEVELS, type LogLevel } from '../base/logger.js';
import { type FieldViolation, HubError } from '../model/hub-error.js';
import { type Address, isLoopbackHost, parseAddress } from './address.js';
import { type HomePaths, homePaths, resolveHome } from './home.js';
import { parseOrigins } from './origins.js';
import { SETTINGS, type Setting, type SettingKey } from './settings.js';

/** What the hub runs with: checked, complete. */
export interface HubConfig {
  readonly home: HomePaths;
  readonly grpc: Address;
  readonly http: Address;
  readonly dashboard: Address;
  /** `unix:/path`, `host:port`, or empty for a socket of its own. */
  readonly door: string;
  /** Empty: the best that works. */
  readonly provider: string;
  readonly logLevel: LogLevel;
  /** Foreign origins whose pages may call REST with a token. */
  readonly corsOrigins: readonly string[];
}

export interface ConfigSources {
  /** By flag name, without dashes. */
  readonly flags: Readonly<Record<string, string | undefined>>;
  readonly env: NodeJS.ProcessEnv;
}

/**
 * Loads the configuration: flag, then environment, then config.json under the home, then default.
 *
 * @throws HubError INVALID_FIELD naming every bad setting and where it came from.
 */
export function loadHubConfig(sources: ConfigSources): HubConfig {
  const home = homePaths(sources.flags.home ?? resolveHome(sources.env));
  const file = readConfigFile(home.configFile);
  const problems: FieldViolation[] = [];
  const values = Object.fromEntries(
    SETTINGS.map((setting) => [setting.key, pick(setting, sources, file, problems)]),
  ) as Record<SettingKey, string>;
  const address = (key: 'grpc' | 'http' | 'dashboard') => listenAddress(values[key], key, problems);
  const config = {
    home,
    grpc: address('grpc'),
    http: address('http'),
    dashboard: address('dashboard'),
    door: doorAddress(values.door, problems),
    provider: values.provider,
    logLevel: logLevel(values.logLevel, problems),
    corsOrigins: corsOrigins(values.corsOrigins, problems),
  };
  if (problems.length > 0) throw HubError.invalid(...problems);
  return config;
}

function readConfigFile(path: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(readFileSync(path, 'utf8'));
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return { ...value };
    throw new Error('it must hold a JSON object');
  } catch (err) {
    if (isErrno(err, 'ENOENT')) return {};
    throw HubError.invalid({ field: path, description: messageOf(err) });
  }
}

function pick(
  setting: Setting,
  { flags, env }: ConfigSources,
  file: Record<string, unknown>,
  problems: FieldViolation[],
): string {
  const flag = setting.flag === undefined ? undefined : flags[setting.flag];
  if (flag !== undefined) return flag;
  const fromEnv = setting.env === undefined ? undefined : env[setting.env];
  if (fromEnv !== undefined && fromEnv !== '') return fromEnv;
  const fromFile = file[setting.key];
  if (fromFile === undefined) return setting.fallback;
  if (typeof fromFile === 'string' || typeof fromFile === 'number') return String(fromFile);
  problems.push({ field: setting.key, description: 'a text in config.json' });
  return setting.fallback;
}

function listenAddress(text: string, key: string, problems: FieldViolation[]): Address {
  const address = parseAddress(text);
  if (!address) {
    problems.push({
      field: key,
      description: `HOST:PORT with a port from 0 to 65535, not ${JSON.stringify(text)}`,
    });
  } else if (!isLoopbackHost(address.host)) {
    const why = 'anybody who can connect could run commands, and this hub has no TLS and no user accounts';
    problems.push({ field: key, description: `only loopback addresses (127.0.0.1, ::1, localhost): ${why}` });
  }
  return address ?? { host: '127.0.0.1', port: 0 };
}

function doorAddress(text: string, problems: FieldViolation[]): string {
  const address = parseAddress(text);
  const fits =
    text === '' || /^unix:\/./.test(text) || (address && address.port > 0 && isLoopbackHost(address.host));
  if (!fits) problems.push({ field: 'door', description: 'unix:/PATH, or HOST:PORT on a loopback address' });
  return text;
}

function corsOrigins(text: string, problems: FieldViolation[]): readonly string[] {
  const { origins, problem } = parseOrigins(text);
  if (problem !== undefined) problems.push({ field: 'corsOrigins', description: problem });
  return origins;
}

function logLevel(text: string, problems: FieldViolation[]): LogLevel {
  const level = LOG_LEVELS.find((known) => known === text);
  if (!level) problems.push({ field: 'logLevel', description: `one of ${LOG_LEVELS.join(', ')}` });
  return level ?? 'info';
}
