import { constants } from 'node:fs';
import { access, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { messageOf } from '../../../base/errno.js';
import { writePrivate } from '../../../base/files.js';
import { run } from '../../../base/process.js';
import type { Acceleration } from '../../provider.js';
import { QEMU, TOOL_ENV } from './host.js';
import { PROBE_WORDS, probeInitrd } from './probe-guest.js';

/** What an answer depends on. */
export interface AccelerationHost {
  /** `process.platform` and `process.arch`. */
  readonly platform: string;
  readonly arch: string;
  /** Release of the host's kernel. */
  readonly kernel: string;
  /** Version of QEMU. */
  readonly qemu: string;
}

/** Options of {@link AccelerationProof}. */
export interface AccelerationOptions {
  /** File that keeps the answer. */
  readonly cacheFile: string;
  /** Default `/dev/kvm`. */
  readonly kvmDevice?: string;
  /** Starts QEMU with these arguments and answers what its guest printed. Default: really does. */
  readonly runGuest?: (args: readonly string[], signal: AbortSignal) => Promise<string>;
}

/** How long the guest may take to say its words. With acceleration it takes a fraction of a second. */
const GUEST_MS = 6_000;
const MAX_BYTES = 64 * 1024;

/**
 * Finds out by proof how machines can be sped up: a device that opens is not one that works, so a tiny guest has to
 * boot with it. The answer is kept for this kernel and this QEMU.
 */
export class AccelerationProof {
  constructor(private readonly options: AccelerationOptions) {}

  /**
   * The kept answer, or a new one after at most some seconds.
   *
   * @param kernel kernel of an image that the guest boots.
   */
  async find(host: AccelerationHost, kernel: string, signal: AbortSignal): Promise<Acceleration> {
    const obvious = await this.obvious(host);
    if (obvious !== undefined) return obvious;
    const key = [host.platform, host.arch, host.kernel, host.qemu].join(' ');
    const kept = await this.kept(key);
    if (kept !== undefined) return kept;
    const kind = host.platform === 'darwin' ? 'hvf' : 'kvm';
    const answer = await this.prove(kind, kernel, signal);
    await writePrivate(this.options.cacheFile, `${JSON.stringify({ key, answer })}\n`);
    return answer;
  }

  /** What needs no proof, and may be mended at any time, is not kept. */
  private async obvious(host: AccelerationHost): Promise<Acceleration | undefined> {
    if (host.arch !== 'x64') return tcg(`machines are x86-64, this host is ${host.arch}`);
    if (host.platform === 'darwin') return undefined;
    const device = this.options.kvmDevice ?? '/dev/kvm';
    try {
      await access(device, constants.R_OK | constants.W_OK);
      return undefined;
    } catch (err) {
      const missing = messageOf(err).includes('ENOENT');
      return tcg(missing ? `${device} is missing` : `${device} cannot be opened; add this user to its group`);
    }
  }

  private async kept(key: string): Promise<Acceleration | undefined> {
    try {
      const kept = JSON.parse(await readFile(this.options.cacheFile, 'utf8')) as unknown;
      return isKept(kept) && kept.key === key ? kept.answer : undefined;
    } catch {
      return undefined;
    }
  }

  private async prove(kind: 'kvm' | 'hvf', kernel: string, signal: AbortSignal): Promise<Acceleration> {
    const dir = await mkdtemp(join(tmpdir(), 'vm-agent-proof-'));
    try {
      const initrd = join(dir, 'initrd');
      await writeFile(initrd, probeInitrd(), { mode: 0o600 });
      const printed = await (this.options.runGuest ?? runGuest)(probeArguments(kind, kernel, initrd), signal);
      if (printed.includes(PROBE_WORDS)) return { kind, reason: '' };
      const words = printed.trim().slice(-200);
      return tcg(`${kind} is there, but a guest did not boot with it${words ? ` (${words})` : ' in time'}`);
    } finally {
      await rm(dir, { recursive: true, force: true });
    }
  }
}

/** Supplementary group that a machine's user needs for acceleration; undefined when none. */
export async function accelerationGroup(kind: Acceleration['kind']): Promise<number | undefined> {
  return kind === 'kvm' ? (await stat('/dev/kvm')).gid : undefined;
}

function probeArguments(kind: 'kvm' | 'hvf', kernel: string, initrd: string): readonly string[] {
  return [
    ...['-no-user-config', '-nodefaults', '-display', 'none', '-no-reboot', '-serial', 'stdio'],
    ...['-machine', `q35,accel=${kind}`, '-cpu', 'host', '-smp', '1', '-m', '256M'],
    ...['-kernel', kernel, '-initrd', initrd, '-append', 'console=ttyS0 quiet loglevel=3'],
  ];
}

/** A QEMU that aborts and a guest that hangs are answers like others. */
async function runGuest(args: readonly string[], signal: AbortSignal): Promise<string> {
  try {
    const options = { env: TOOL_ENV, signal, timeoutMs: GUEST_MS, maxBytes: MAX_BYTES };
    const ran = await run(QEMU, args, options);
    return `${ran.stdout}${ran.stderr}`;
  } catch {
    signal.throwIfAborted();
    return '';
  }
}

function tcg(reason: string): Acceleration {
  return { kind: 'tcg', reason };
}

function isKept(value: unknown): value is { readonly key: string; readonly answer: Acceleration } {
  if (typeof value !== 'object' || value === null || !('key' in value) || !('answer' in value)) return false;
  const { answer } = value as { answer: { kind?: unknown; reason?: unknown } | null };
  return ['kvm', 'hvf', 'tcg'].includes(String(answer?.kind)) && typeof answer?.reason === 'string';
}
