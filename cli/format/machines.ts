import type { Vm } from '../../src/client/index.js';
import { bytes } from './bytes.js';
import { formatSpan } from './duration.js';

const NETWORKS: Readonly<Record<string, string>> = {
  host: 'host (all that this host reaches)',
  internet: 'internet (what this host reaches, nothing of the host itself)',
  isolated: 'isolated (nothing)',
};

/** How a machine is made fast, in a word, and why it is slow. */
export function accelerationWord({
  kind,
  reason,
}: {
  readonly kind: string;
  readonly reason: string;
}): string {
  return kind === 'tcg' ? `tcg (slow${reason ? `: ${reason}` : ', emulated'})` : kind;
}

/** What a machine reaches. */
export function networkWord(network: string): string {
  return NETWORKS[network] ?? network;
}

/** What a machine uses now; empty where that is not known. */
export function usageWords(usage: Vm['usage']): string {
  if (usage === undefined) return '';
  const { cpuSeconds, memoryBytes, diskBytes } = usage;
  return `${cpuSeconds.toFixed(1)} s of CPU, ${bytes(memoryBytes)} of memory, ${bytes(diskBytes)} on disk`;
}

/** When a machine is ended by itself, as rows of `vm-agent status`. */
export function lifeFacts({ life, state }: Vm, nowMs: number): readonly (readonly [string, string])[] {
  if (life === undefined) return [];
  const { ttl, idleStop, expireTime, idleStopTime, keepUntilTime } = life;
  return [
    ['Expires', ttl ? expiry({ expireTime, onExpire: life.onExpire, state }, nowMs) : ''],
    ['Idle stop', idleStop ? `after ${formatSpan(idleStop.seconds)}${idleEnd(idleStopTime, nowMs)}` : ''],
    ['Kept until', keepUntilTime ? when(keepUntilTime, nowMs) : ''],
    ['Problem', life.problem],
  ];
}

const ENDS: Readonly<Record<string, string>> = {
  stop: 'then it is stopped',
  destroy: 'then it is destroyed',
  snapshot: 'then a snapshot is taken and it is stopped',
};

function expiry(
  { expireTime, onExpire, state }: { expireTime: Time; onExpire: string; state: string },
  nowMs: number,
): string {
  const over = expireTime !== undefined && expireTime.seconds * 1000 <= nowMs;
  if (over && state === 'STOPPED' && onExpire !== 'destroy') return 'its ttl is over; a start begins it anew';
  return `${when(expireTime, nowMs)}, ${ENDS[onExpire] ?? onExpire}`;
}

type Time = NonNullable<Vm['createTime']> | undefined;

function idleEnd(time: Time, nowMs: number): string {
  return time ? `: ${when(time, nowMs)} if nothing happens` : '';
}

function when(time: Time, nowMs: number): string {
  if (time === undefined) return '';
  const atMs = time.seconds * 1000 + time.nanos / 1e6;
  const leftMs = atMs - nowMs;
  const left = leftMs > 0 ? `in ${formatSpan(leftMs / 1000)}` : 'now, once nothing goes on in it';
  return `${left} (${new Date(atMs).toISOString()})`;
}
