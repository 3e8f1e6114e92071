import { randomBytes } from 'node:crypto';
import { HubError } from '../../../model/hub-error.js';
import type { BootInfo } from '../../provider.js';
import { GUEST_DOOR } from './argv.js';
import type { MachineRecord } from './machine-record.js';

/** Size of the boot disk. */
const BOOT_DISK_BYTES = 64 * 1024;
const SEED_BYTES = 64;

/** What a guest is told at each start, and when its memory wakes. */
export interface GuestBoot {
  readonly schema: 1;
  readonly agentId: string;
  readonly joinSecret: string;
  readonly door: string;
  readonly vmGeneration: number;
  readonly network: string;
  readonly hostname: string;
  readonly diskBytes: number;
  readonly timeMs: number;
}

/** What a machine is told now. */
export function guestBoot(
  record: MachineRecord,
  boot: BootInfo,
  joinSecret: string,
  timeMs: number,
): GuestBoot {
  const { name, network, resources } = record.spec;
  return {
    schema: 1,
    agentId: boot.agentId,
    joinSecret,
    door: GUEST_DOOR,
    vmGeneration: boot.vmGeneration,
    network,
    hostname: name,
    diskBytes: resources.diskBytes,
    timeMs,
  };
}

/** The content of the boot disk. @throws HubError VM_FAILED when it does not fit. */
export function bootDisk(boot: GuestBoot): Buffer {
  const text = Buffer.from(JSON.stringify(boot));
  if (text.length >= BOOT_DISK_BYTES) throw new HubError('VM_FAILED', 'the boot information is too long');
  return Buffer.concat([text, Buffer.alloc(BOOT_DISK_BYTES - text.length)]);
}

/** The message for a machine whose memory was woken: who it is now, the time, and fresh randomness. */
export function wokenMessage(
  boot: GuestBoot,
): { readonly type: 'woken' } & Readonly<Record<string, unknown>> {
  const seed = randomBytes(SEED_BYTES).toString('base64');
  return { type: 'woken', boot, timeMs: boot.timeMs, seed };
}
