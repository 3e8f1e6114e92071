import { HubError } from '../../model/hub-error.js';
import type { AptSetup } from './apt-host.js';
import type { ExtraAuthority } from './host-trust.js';

/** The user as whom tasks run. */
export const GUEST_USER = { name: 'agent', uid: 1000, home: '/home/agent' } as const;

/** What every image has besides Debian's smallest set. */
const USUAL_PACKAGES = [
  'systemd-sysv',
  'udev',
  'dbus',
  'kmod',
  'e2fsprogs',
  'iproute2',
  'procps',
  'sudo',
  'libnss-myhostname',
  'busybox-static',
  'ca-certificates',
  'curl',
  'git',
  'openssh-client',
  'python3',
  'python-is-python3',
  'python3-pip',
  'python3-venv',
] as const;

/** A file that is put into the image. */
export interface OverlayFile {
  /** Path from the root, without the first slash. */
  readonly path: string;
  readonly text: string;
  /** Default 0644. */
  readonly mode?: number;
}

const PACKAGE_PATTERN = /^[a-z0-9][a-z0-9+.-]{1,63}$/;
const MAX_PACKAGES = 200;

/**
 * Checks names of packages by Debian's rule; empty ones and doubles are dropped.
 *
 * @throws HubError INVALID_FIELD.
 */
export function checkPackages(names: readonly string[]): readonly string[] {
  const packages = [...new Set(names.map((name) => name.trim()).filter((name) => name !== ''))].sort();
  const bad = packages.find((name) => !PACKAGE_PATTERN.test(name));
  if (bad !== undefined || packages.length > MAX_PACKAGES) {
    const which = bad === undefined ? '' : ` (not ${JSON.stringify(bad)})`;
    const description = `at most ${MAX_PACKAGES} names of Debian packages, such as git,build-essential: lower case letters, digits, +, - and .${which}`;
    throw HubError.invalid({ field: 'packages', description });
  }
  return packages;
}

/** Everything that is installed into an image for this processor. */
export function packagesFor(arch: Architecture, extra: readonly string[]): readonly string[] {
  return [...new Set([...USUAL_PACKAGES, `linux-image-cloud-${arch.debian}`, ...extra])];
}

/** A processor as Debian and as the kernel name it. */
export interface Architecture {
  readonly debian: string;
  readonly machine: string;
}

const ARCHITECTURES: Readonly<Record<string, Architecture>> = {
  x64: { debian: 'amd64', machine: 'x86_64' },
  arm64: { debian: 'arm64', machine: 'aarch64' },
};

/**
 * The processor of this host, by Node's name for it.
 *
 * @throws HubError NOT_SUPPORTED for one without a cloud kernel in Debian.
 */
export function architectureOf(nodeArch: string): Architecture {
  const arch = ARCHITECTURES[nodeArch];
  if (arch !== undefined) return arch;
  throw new HubError('NOT_SUPPORTED', `images cannot be built on ${nodeArch}; only on x64 and arm64`);
}

/** Settings of mmdebstrap's dpkg: nobody reads manuals in such a machine. */
export const DPKG_OPTIONS = [
  'path-exclude=/usr/share/man/*',
  'path-exclude=/usr/share/doc/*',
  'path-include=/usr/share/doc/*/copyright',
  'path-exclude=/usr/share/info/*',
  'path-exclude=/usr/share/locale/*',
] as const;

const CA_BUNDLE = '/etc/ssl/certs/ca-certificates.crt';
const EXTRA_BUNDLE = 'etc/ssl/vm-agent-host.pem';

/** Variables of the caller that decide what the guest reaches, and by which way. */
const TAKEN_OVER = [
  'http_proxy',
  'https_proxy',
  'no_proxy',
  'PIP_INDEX_URL',
  'PIP_EXTRA_INDEX_URL',
  'PIP_TRUSTED_HOST',
  'NPM_CONFIG_REGISTRY',
] as const;

/** The files of an image that are not from packages. */
export function overlayFiles(
  apt: AptSetup,
  authorities: readonly ExtraAuthority[],
  env: NodeJS.ProcessEnv,
): readonly OverlayFile[] {
  const certificates = authorities.map(({ file, pem }) => ({
    path: `usr/local/share/ca-certificates/${file}`,
    text: pem,
  }));
  const extraBundle = { path: EXTRA_BUNDLE, text: authorities.map(({ pem }) => pem).join('') };
  return [
    { path: 'etc/hostname', text: 'vm-agent\n' },
    { path: 'etc/hosts', text: '127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n' },
    // The address of the name server in QEMU's user network.
    { path: 'etc/resolv.conf', text: 'nameserver 10.0.2.3\noptions timeout:3 attempts:3\n' },
    { path: 'etc/environment', text: environment(authorities.length > 0, env) },
    { path: 'etc/sudoers.d/vm-agent', text: SUDOERS, mode: 0o440 },
    { path: 'etc/pip.conf', text: `[global]\nbreak-system-packages = true\ncert = ${CA_BUNDLE}\n` },
    { path: 'etc/apt/apt.conf.d/80vm-agent', text: APT_CONF },
    ...(apt.options.length === 0
      ? []
      : [{ path: 'etc/apt/apt.conf.d/81vm-agent-host', text: `${apt.options.join('\n')}\n` }]),
    ...certificates,
    ...(authorities.length === 0 ? [] : [extraBundle]),
  ];
}

const SUDOERS = `Defaults env_keep += "http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY"
Defaults env_keep += "NODE_EXTRA_CA_CERTS REQUESTS_CA_BUNDLE PIP_INDEX_URL PIP_EXTRA_INDEX_URL"
${GUEST_USER.name} ALL=(ALL:ALL) NOPASSWD: ALL
`;

const APT_CONF = `Acquire::Languages "none";
Acquire::Retries "3";
APT::Periodic::Enable "0";
`;

/** Runs in the new root once its packages are there. */
export const SETUP_SCRIPT = `set -eu
useradd --create-home --user-group --uid ${GUEST_USER.uid} --home-dir ${GUEST_USER.home} --shell /bin/bash ${GUEST_USER.name}
chown ${GUEST_USER.name}:${GUEST_USER.name} /opt /srv
update-ca-certificates >/dev/null
# Some packages put links to manuals in place and fail without these directories.
for section in 1 2 3 4 5 6 7 8; do mkdir -p "/usr/share/man/man$section"; done
# The kernel is started from beside the disk, so its modules here must stay what they are.
dpkg-query -W -f '\${Package}\\n' 'linux-image-*' | xargs -r apt-mark hold >/dev/null
sed -i /force-unsafe-io/d /etc/dpkg/dpkg.cfg.d/99mmdebstrap
rm -f /etc/apt/apt.conf.d/99mmdebstrap /vmlinuz /vmlinuz.old
: >/etc/fstab
`;

function environment(extra: boolean, env: NodeJS.ProcessEnv): string {
  const lines = ['LANG=C.UTF-8'];
  if (extra) lines.push(`NODE_EXTRA_CA_CERTS=/${EXTRA_BUNDLE}`, `REQUESTS_CA_BUNDLE=${CA_BUNDLE}`);
  for (const name of TAKEN_OVER) {
    const value = env[name] || env[name.toUpperCase()] || env[name.toLowerCase()];
    if (value && /^[\x21-\x7e]{1,1000}$/.test(value) && !/["'\\$]|:\/\/[^/]*@/.test(value)) {
      lines.push(`${name}=${value}`);
    }
  }
  return `${lines.join('\n')}\n`;
}
