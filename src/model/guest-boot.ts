import { HubError } from './hub-error.js';
import { isName, NAME_PATTERN } from './names.js';

/** Size of the boot disk; the text on it is padded with NULs. */
export const BOOT_DISK_BYTES = 64 * 1024;

/** What a virtual machine is told from outside, at each start and after its memory was restored. */
export interface GuestBoot {
  readonly schema: 1;
  readonly agentId: string;
  readonly joinSecret: string;
  /** Address of the agent door as the guest sees it, `host:port`. */
  readonly door: string;
  /** From 1; it only grows. */
  readonly vmGeneration: number;
  readonly network: 'internet' | 'isolated';
  readonly hostname: string;
  /** Size that the root disk has. */
  readonly diskBytes: number;
  /** The host's clock in milliseconds since 1970. */
  readonly timeMs: number;
}

/** The bytes of a boot disk. */
export function bootDiskOf(boot: GuestBoot): Buffer {
  const disk = Buffer.alloc(BOOT_DISK_BYTES);
  const text = Buffer.from(`${JSON.stringify(boot)}\n`);
  if (text.length > disk.length) throw HubError.invalid({ field: 'boot', description: 'is too long' });
  text.copy(disk);
  return disk;
}

/** What a boot disk says. @throws HubError INVALID_FIELD naming what is wrong. */
export function readBootDisk(disk: Buffer): GuestBoot {
  const end = disk.indexOf(0);
  return guestBootFrom(parse(disk.toString('utf8', 0, end < 0 ? disk.length : end)));
}

/** Checks what came from outside. @throws HubError INVALID_FIELD naming every bad field. */
export function guestBootFrom(value: unknown): GuestBoot {
  const found = (typeof value === 'object' && value !== null ? value : {}) as Record<string, unknown>;
  const bad = CHECKS.filter(([field, isGood]) => !isGood(found[field]));
  if (bad.length > 0)
    throw HubError.invalid(...bad.map(([field, , description]) => ({ field, description })));
  return found as unknown as GuestBoot;
}

const isText = (value: unknown) => typeof value === 'string' && value !== '';
const isCount = (value: unknown) => typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
const isNameText = (value: unknown) => typeof value === 'string' && isName(value);
const A_NAME = `must match ${NAME_PATTERN.source}`;

const CHECKS: readonly (readonly [
  field: keyof GuestBoot,
  isGood: (value: unknown) => boolean,
  rule: string,
])[] = [
  ['schema', (value) => value === 1, 'must be 1; this agent is older than its hub'],
  ['agentId', isNameText, A_NAME],
  ['joinSecret', isText, 'must be a text'],
  ['door', isText, 'must be HOST:PORT'],
  ['vmGeneration', (value) => isCount(value) && value !== 0, 'must be a whole number from 1'],
  ['network', (value) => value === 'internet' || value === 'isolated', 'must be internet or isolated'],
  ['hostname', isNameText, A_NAME],
  ['diskBytes', isCount, 'must be a number of bytes'],
  ['timeMs', isCount, 'must be milliseconds since 1970'],
];

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw HubError.invalid({ field: 'boot disk', description: 'must hold JSON' });
  }
}
