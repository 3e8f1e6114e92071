import { existsSync } from 'node:fs';
import { access, constants, readFile } from 'node:fs/promises';
import { networkInterfaces, platform } from 'node:os';
import { run } from '../../../base/process.js';

/** What this host has for machines. */
export interface QemuHost {
  /** Version of QEMU, such as `7.2.22`. */
  readonly version: string;
  /** Own mount, user and network namespaces for each machine. Without them it has no network. */
  readonly namespaces: boolean;
  /** QEMU filters its own system calls. */
  readonly sandbox: boolean;
  /** Why machines have no internet here; empty when they can. */
  readonly noInternet: string;
}

/** Either what the host has, or why machines cannot run on it. */
export type HostFindings = QemuHost | { readonly problem: string };

/** Programs that QEMU's machines need; all are in Debian's packages of the same names but the first two. */
export const QEMU = 'qemu-system-x86_64';
export const QEMU_IMG = 'qemu-img';
const PROBE_MS = 10_000;
const INSTALL = 'apt-get install qemu-system-x86 qemu-utils socat slirp4netns';

/** Looks at this host. Quick: starts no machine. */
export async function probeHost(uid: number | undefined, signal: AbortSignal): Promise<HostFindings> {
  const version = await versionOf(QEMU, signal);
  if (version === undefined) return { problem: `${QEMU} is not installed; ${INSTALL}` };
  if ((await versionOf(QEMU_IMG, signal)) === undefined) {
    return { problem: `${QEMU_IMG} is not installed; ${INSTALL}` };
  }
  if (!(await hasProgram('socat', ['-V'], signal))) return { problem: `socat is not installed; ${INSTALL}` };
  if (platform() !== 'linux') {
    return {
      version,
      namespaces: false,
      sandbox: false,
      noInternet: 'only Linux can keep machines away from the host',
    };
  }
  const problem = await namespaceProblem(signal);
  if (problem !== undefined) {
    if (uid === 0) return { problem: `as root it needs namespaces: ${problem}; run the hub as a user` };
    return { version, namespaces: false, sandbox: true, noInternet: problem };
  }
  return { version, namespaces: true, sandbox: true, noInternet: await internetProblem(signal) };
}

/**
 * What machines must not reach: every IPv4 address of this host, the network where clouds tell secrets, and what lies
 * on the host's side under the addresses of the guest's own network.
 */
export function closedNetworks(): readonly string[] {
  const own = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  const addresses = own.filter((item) => item.family === 'IPv4').map((item) => `${item.address}/32`);
  return [...new Set([...addresses, '127.0.0.0/8', '169.254.0.0/16', '10.0.2.0/24'])].sort();
}

async function namespaceProblem(signal: AbortSignal): Promise<string | undefined> {
  const args = ['--user', '--map-root-user', '--mount', '--net', '--propagation', 'private', 'true'];
  const test = await tryRun('unshare', args, signal);
  if (test === undefined) return 'unshare is not installed (apt-get install util-linux)';
  if (test.code !== 0) return `the kernel allows no user namespaces (${test.stderr.trim().slice(0, 200)})`;
  if (!(await hasProgram('ip', ['-V'], signal))) return 'ip is not installed (apt-get install iproute2)';
  return existsSync('/mnt') ? undefined : 'the directory /mnt is missing';
}

async function internetProblem(signal: AbortSignal): Promise<string> {
  if (!(await hasProgram('slirp4netns', ['--version'], signal))) {
    return 'slirp4netns is not installed (apt-get install slirp4netns)';
  }
  const open = await access('/dev/net/tun', constants.R_OK | constants.W_OK).then(
    () => true,
    () => false,
  );
  return open ? '' : '/dev/net/tun cannot be opened (modprobe tun)';
}

/** What the kernel calls itself; acceleration depends on it. */
export async function kernelRelease(): Promise<string> {
  return (await readFile('/proc/sys/kernel/osrelease', 'utf8').catch(() => platform())).trim();
}

async function versionOf(program: string, signal: AbortSignal): Promise<string | undefined> {
  const ran = await tryRun(program, ['--version'], signal);
  return ran === undefined ? undefined : /version (\d+(?:\.\d+)+)/.exec(ran.stdout)?.[1];
}

async function hasProgram(program: string, args: readonly string[], signal: AbortSignal): Promise<boolean> {
  return (await tryRun(program, args, signal)) !== undefined;
}

async function tryRun(program: string, args: readonly string[], signal: AbortSignal) {
  try {
    return await run(program, args, { signal, timeoutMs: PROBE_MS, env: TOOL_ENV });
  } catch {
    signal.throwIfAborted();
    return undefined;
  }
}

/** Programs of the system are found without the caller's PATH, and say everything in English. */
export const TOOL_ENV = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/opt/homebrew/bin',
  LANG: 'C.UTF-8',
  LC_ALL: 'C.UTF-8',
} as const;
