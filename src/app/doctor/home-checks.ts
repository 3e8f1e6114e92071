import { constants } from 'node:fs';
import { access, stat, statfs } from 'node:fs/promises';
import { createServer } from 'node:net';
import { dirname } from 'node:path';
import { isErrno, messageOf } from '../../base/errno.js';
import { lockHolder } from '../../base/lock-file.js';
import { type Address, formatAddress } from '../../config/address.js';
import type { HomePaths } from '../../config/home.js';
import type { HubConfig } from '../../config/hub-config.js';
import { createProfiles } from '../providers.js';
import type { Check } from './check.js';
import { portHolder } from './port-holder.js';

const GIB = 1024 ** 3;
/** Below this nothing useful can be kept; below the other an image and a machine do not fit. */
const LEAST_DISK = GIB;
const GOOD_DISK = 10 * GIB;
/** Node.js that the package is made for. */
const NODE = { major: 20, minor: 19 };

/** Node.js and git. */
export function nodeCheck(version: string): Check {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const fits = major > NODE.major || (major === NODE.major && minor >= NODE.minor);
  const base = { group: 'this program', name: 'Node.js' } as const;
  if (fits) return { ...base, status: 'ok', detail: version };
  const detail = `${version}; it needs ${NODE.major}.${NODE.minor} or newer`;
  return { ...base, status: 'bad', detail, fix: 'install a newer Node.js: https://nodejs.org/en/download' };
}

/** Whether the hub's addresses are free, or held by our own hub. */
export async function portChecks(config: HubConfig): Promise<readonly Check[]> {
  const hub = await lockHolder(config.home.lockFile).catch(() => undefined);
  const places = [
    { name: 'gRPC', address: config.grpc, flag: 'grpc' },
    { name: 'REST', address: config.http, flag: 'http' },
    { name: 'dashboard', address: config.dashboard, flag: 'dashboard' },
  ];
  return Promise.all(places.map((place) => portCheck(place, hub?.pid)));
}

async function portCheck(
  { name, address, flag }: { readonly name: string; readonly address: Address; readonly flag: string },
  hub: number | undefined,
): Promise<Check> {
  const base = { group: 'this program', name: `port of ${name}` } as const;
  const where = formatAddress(address);
  const problem = await bindProblem(address);
  if (problem === undefined) return { ...base, status: 'ok', detail: `${where} is free` };
  const holder = await portHolder(address.port);
  if (hub !== undefined && (holder === undefined || holder.pid === hub)) {
    return { ...base, status: 'ok', detail: `${where} is held by the hub of this home (pid ${hub})` };
  }
  const who = holder ? `${holder.program} (pid ${holder.pid})` : 'a program of another user';
  const detail = problem === 'EADDRINUSE' ? `${where} is held by ${who}` : `${where}: ${problem}`;
  return {
    ...base,
    status: 'bad',
    detail,
    fix: `end it, or choose another: vm-agent up --${flag} HOST:PORT`,
  };
}

function bindProblem({ host, port }: Address): Promise<string | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', (err) => resolve(isErrno(err, 'EADDRINUSE') ? 'EADDRINUSE' : messageOf(err)));
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(undefined)));
  });
}

/** Directory, secret and room of the home, and the user's profiles. */
export async function homeChecks(home: HomePaths): Promise<readonly Check[]> {
  return [
    await rootCheck(home),
    await tokenCheck(home),
    await diskCheck(home),
    ...(await profileChecks(home)),
  ];
}

async function rootCheck({ root }: HomePaths): Promise<Check> {
  const base = { group: 'home', name: 'directory' } as const;
  try {
    const place = await nearest(root);
    await access(place, constants.W_OK | constants.X_OK);
    return { ...base, status: 'ok', detail: place === root ? root : `${root} (made at the first start)` };
  } catch (err) {
    const fix = `give it to this user: sudo chown -R "$(id -un)" ${root}; or set VM_AGENT_HOME`;
    return { ...base, status: 'bad', detail: `${root} cannot be written: ${messageOf(err)}`, fix };
  }
}

async function tokenCheck({ tokenFile }: HomePaths): Promise<Check> {
  const base = { group: 'home', name: 'token' } as const;
  const found = await stat(tokenFile).catch(() => undefined);
  if (found === undefined)
    return { ...base, status: 'ok', detail: `${tokenFile} is made at the first start` };
  const open = (found.mode & 0o077) !== 0;
  if (!open) return { ...base, status: 'ok', detail: `${tokenFile} is readable by its owner only` };
  const detail = `${tokenFile} is readable by others; the next start of the hub replaces it`;
  return { ...base, status: 'warn', detail, fix: 'vm-agent down && vm-agent up' };
}

async function diskCheck({ root }: HomePaths): Promise<Check> {
  const base = { group: 'home', name: 'disk' } as const;
  const { bavail, bsize } = await statfs(await nearest(root));
  const free = bavail * bsize;
  const detail = `${(free / GIB).toFixed(1)} GiB free for ${root}`;
  if (free >= GOOD_DISK) return { ...base, status: 'ok', detail };
  const fix = 'make room, or set VM_AGENT_HOME to a directory on another disk';
  return { ...base, status: free < LEAST_DISK ? 'bad' : 'warn', detail, fix };
}

async function profileChecks(home: HomePaths): Promise<readonly Check[]> {
  const base = { group: 'home', name: 'profiles' } as const;
  const infos = await createProfiles(home).list();
  const broken = infos.flatMap(({ found }) => ('problem' in found ? [found.problem] : []));
  if (broken.length === 0) {
    const own = infos.filter((info) => !info.builtIn).length;
    return [{ ...base, status: 'ok', detail: `${infos.length - own} built in, ${own} own` }];
  }
  return broken.map((detail) => ({ ...base, status: 'warn', detail, fix: 'mend the file, or remove it' }));
}

/** The path, or the nearest directory above it that is there. */
async function nearest(path: string): Promise<string> {
  try {
    await stat(path);
    return path;
  } catch (err) {
    const parent = dirname(path);
    if (parent === path || !isErrno(err, 'ENOENT')) throw err;
    return nearest(parent);
  }
}
