import { constants } from 'node:fs';
import { access, readFile } from 'node:fs/promises';
import { messageOf } from '../../base/errno.js';
import { run } from '../../base/process.js';
import { hasTool, toolEnv } from '../../vm/images/tool.js';
import type { Check } from './check.js';

const VERSION_MS = 5_000;

interface Tool {
  readonly program: string;
  /** Its Debian package. */
  readonly package: string;
  /** What it is for. */
  readonly use: string;
}

/** What virtual machines need beside this package, all of it in Debian. */
const TOOLS: readonly Tool[] = [
  { program: 'qemu-system-x86_64', package: 'qemu-system-x86', use: 'runs virtual machines' },
  { program: 'qemu-img', package: 'qemu-utils', use: 'makes their disks' },
  { program: 'mmdebstrap', package: 'mmdebstrap', use: 'builds images' },
  { program: 'mke2fs', package: 'e2fsprogs', use: 'builds images' },
  {
    program: 'slirp4netns',
    package: 'slirp4netns',
    use: 'gives machines the internet without the host',
  },
  { program: 'socat', package: 'socat', use: 'leads machines to the agent door' },
];

/** git, which cloning tasks of local machines use. */
export async function gitCheck(env: NodeJS.ProcessEnv): Promise<Check> {
  const base = { group: 'machines', name: 'git' } as const;
  if (hasTool('git', env)) return { ...base, status: 'ok', detail: await versionOf('git', env) };
  const detail = 'is missing: git:clone, git:pull and git:push fail in local machines';
  return { ...base, status: 'warn', detail, fix: 'sudo apt-get install git' };
}

/** The programs that virtual machines need; what is missing is one command away. */
export async function toolChecks(env: NodeJS.ProcessEnv): Promise<readonly Check[]> {
  return Promise.all(
    TOOLS.map(async ({ program, package: name, use }): Promise<Check> => {
      const base = { group: 'virtual machines', name: program } as const;
      if (hasTool(program, env)) return { ...base, status: 'ok', detail: await versionOf(program, env) };
      const fix = `sudo apt-get install ${name}`;
      return { ...base, status: 'warn', detail: `is missing: it ${use}`, fix };
    }),
  );
}

/** Whether this user may use the hardware's help for virtual machines. Whether guests run with it is another question. */
export async function kvmCheck(device = '/dev/kvm'): Promise<Check> {
  const base = { group: 'virtual machines', name: 'KVM' } as const;
  try {
    await access(device, constants.R_OK | constants.W_OK);
    return { ...base, status: 'ok', detail: `${device} can be opened` };
  } catch (err) {
    const missing = (err as NodeJS.ErrnoException).code === 'ENOENT';
    const detail = missing
      ? `there is no ${device}: machines are emulated, which is slow`
      : `${device} may not be used by this user (${messageOf(err)}): machines are emulated, which is slow`;
    const fix = missing
      ? 'switch virtualization on in the firmware, or allow nested virtualization for this machine'
      : 'sudo usermod -aG kvm "$(id -un)", then log in again';
    return { ...base, status: 'warn', detail, fix };
  }
}

/** The setting that forbids namespaces to normal users, as the command that allows them; undefined for none. */
export async function namespaceFix(): Promise<string | undefined> {
  const settings = [
    { key: 'kernel.unprivileged_userns_clone', forbids: '0', value: '1' },
    { key: 'kernel.apparmor_restrict_unprivileged_userns', forbids: '1', value: '0' },
    { key: 'user.max_user_namespaces', forbids: '0', value: '15000' },
  ];
  for (const { key, forbids, value } of settings) {
    const now = await readFile(`/proc/sys/${key.replaceAll('.', '/')}`, 'utf8').catch(() => '');
    if (now.trim() === forbids) return `sudo sysctl -w ${key}=${value}`;
  }
  return undefined;
}

async function versionOf(program: string, env: NodeJS.ProcessEnv): Promise<string> {
  // socat and mke2fs have a flag of their own for it.
  const flag = program === 'socat' || program === 'mke2fs' ? '-V' : '--version';
  try {
    const options = { env: toolEnv(env), timeoutMs: VERSION_MS };
    const { stdout, stderr } = await run(program, [flag], options);
    const lines = `${stdout}\n${stderr}`.split('\n').map((line) => line.trim());
    return lines.find((line) => /\d+\.\d+/.test(line))?.slice(0, 120) ?? 'is there';
  } catch (err) {
    return `is there, but does not tell its version: ${messageOf(err)}`.slice(0, 200);
  }
}
