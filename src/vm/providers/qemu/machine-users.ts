import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { HubError } from '../../../model/hub-error.js';
import { listRecords } from './machine-record.js';
import { isUserTaken } from './qemu-process.js';

/** Users of one home. */
const RANGE = 1024;
const RANGES = 65_536;
/** Above all ranges that systemd, containers and people use, below what some programs take for negative. */
const FIRST = 1_900_000_000;
/** Where the host lends this container fewer users. */
const FIRST_SMALL = 62_000;

/**
 * A user id that no machine of this home and no process of this host has. Other homes have other ranges. The caller
 * writes it down before the next one is asked for.
 *
 * @throws HubError RESOURCES_EXCEEDED when all are taken.
 */
export async function freeUser(machinesDir: string): Promise<number> {
  const base = await firstUser(machinesDir);
  const records = [...(await listRecords(machinesDir)).values()];
  const taken = new Set(records.map((record) => record.uid));
  for (let uid = base; uid < base + RANGE; uid += 1) {
    if (!taken.has(uid) && !(await isUserTaken(uid))) return uid;
  }
  throw new HubError('RESOURCES_EXCEEDED', `this home has ${RANGE} machines already; destroy some`);
}

async function firstUser(machinesDir: string): Promise<number> {
  const hash = createHash('sha256').update(machinesDir).digest().readUInt32BE(0);
  const wide = FIRST + (hash % RANGES) * RANGE;
  return (await isMapped(wide + RANGE)) ? wide : FIRST_SMALL;
}

/** Whether this process may use a user id; in a container only some are there. */
async function isMapped(uid: number): Promise<boolean> {
  const text = await readFile('/proc/self/uid_map', 'utf8').catch(() => '');
  return text.split('\n').some((line) => {
    const [first = Number.NaN, , count = Number.NaN] = line.trim().split(/\s+/).map(Number);
    return uid >= first && uid < first + count;
  });
}
