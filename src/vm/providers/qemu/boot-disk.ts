import { randomBytes } from 'node:crypto';
import type { GuestBoot } from '../../../model/guest-boot.js';
import type { BootInfo } from '../../provider.js';
import { GUEST_DOOR } from './argv.js';
import type { MachineRecord } from './machine-record.js';

const SEED_BYTES = 64;

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
    network: network === 'isolated' ? 'isolated' : 'internet',
    hostname: name,
    diskBytes: resources.diskBytes,
    timeMs,
  };
}

/** The message for a machine whose memory was woken: who it is now, the time, and fresh randomness. */
export function wokenMessage(
  boot: GuestBoot,
  timeMs: number,
): { readonly type: 'woken' } & Readonly<Record<string, unknown>> {
  const seed = randomBytes(SEED_BYTES).toString('base64');
  return { type: 'woken', boot, timeMs, seed };
}
