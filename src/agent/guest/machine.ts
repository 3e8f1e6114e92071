import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isErrno } from '../../base/errno.js';
import { run } from '../../base/process.js';
import type { GuestBoot } from '../../model/guest-boot.js';
import { devicePath } from './boot-source.js';

const LIMIT_MS = 10_000;
const GROW_LIMIT_MS = 120_000;
const ROOT_DISK = 'vma-root';
const NAME_SERVER = 'nameserver 10.0.2.3\noptions timeout:3 attempts:3\n';
const NO_NAME_SERVER = '# The network of this machine is isolated: there is no name server.\n';

/** Sets the clock. */
export async function setClock(timeMs: number): Promise<void> {
  await tool('date', ['--utc', '--set', `@${(timeMs / 1000).toFixed(3)}`]);
}

/** Makes the root file system as large as its disk. */
export async function growRoot(): Promise<void> {
  await tool('resize2fs', [devicePath(ROOT_DISK)], GROW_LIMIT_MS);
}

/** Switches the machine off as somebody who presses its button would. */
export async function switchOff(): Promise<void> {
  await tool('systemctl', ['poweroff', '--no-block']);
}

/**
 * Gives the machine its name, and its name server as its network allows.
 *
 * @param root Directory of the machine's files. Default `/`.
 */
export async function nameMachine({ hostname, network }: GuestBoot, root = '/'): Promise<void> {
  await writeFile(join(root, 'proc/sys/kernel/hostname'), hostname);
  await change(join(root, 'etc/hostname'), () => `${hostname}\n`);
  await change(join(root, 'etc/hosts'), (hosts) => withHost(hosts, hostname));
  await change(join(root, 'etc/resolv.conf'), (text) => {
    if (network === 'isolated') return text.includes('nameserver 10.0.2.3') ? NO_NAME_SERVER : text;
    return /^nameserver/m.test(text) ? text : NAME_SERVER;
  });
}

/** The name is known without a name server: sudo and others ask for it. */
function withHost(hosts: string, hostname: string): string {
  const others = hosts.split('\n').filter((line) => !/^127\.0\.1\.1\s/.test(line));
  const text = others.join('\n').trimEnd();
  return `${text}${text === '' ? '' : '\n'}127.0.1.1 ${hostname}\n`;
}

async function change(path: string, to: (text: string) => string): Promise<void> {
  const before = await readFile(path, 'utf8').catch(() => '');
  const after = to(before);
  if (after === before) return;
  // It may be a link to what is not there.
  await writeFile(`${path}.vm-agent`, after);
  await rename(`${path}.vm-agent`, path);
}

async function tool(name: string, args: readonly string[], timeoutMs = LIMIT_MS): Promise<void> {
  const { code, stderr } = await run(name, args, { timeoutMs, env: TOOL_ENV }).catch((err) => {
    throw isErrno(err, 'ENOENT') ? new Error(`${name} is not installed`, { cause: err }) : err;
  });
  if (code !== 0) throw new Error(`${name} ended with ${code}: ${stderr.trim().slice(0, 300)}`);
}

const TOOL_ENV = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' };
