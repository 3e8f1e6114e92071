import type { LifePolicy, OnExpire, Vm, VmLife } from './vm.js';

/** How long a machine is kept by a keep-alive that names no time. */
export const DEFAULT_KEEP_MS = 3_600_000;

/** Why a machine is to be ended, and how. */
export interface Due {
  readonly cause: 'TTL' | 'IDLE';
  readonly action: OnExpire;
}

/** The life of a machine that is made now; none without a limit. */
export function newLife(policy: LifePolicy | undefined, nowMs: number): VmLife | undefined {
  if (policy?.ttlMs === undefined && policy?.idleStopMs === undefined) return undefined;
  return { ...policy, ttlFromMs: nowMs, activeMs: nowMs, seenMs: nowMs, problem: '' };
}

/** When its ttl is over. */
export function expireMs({ ttlMs, ttlFromMs, keepUntilMs = 0 }: VmLife): number | undefined {
  return ttlMs === undefined ? undefined : Math.max(ttlFromMs + ttlMs, keepUntilMs);
}

/** When it has been idle for too long, if nothing happens in it until then. */
export function idleStopMs({ idleStopMs: limitMs, activeMs, keepUntilMs = 0 }: VmLife): number | undefined {
  return limitMs === undefined ? undefined : Math.max(activeMs, keepUntilMs) + limitMs;
}

/** What is due for a machine in which nothing goes on. */
export function dueOf({ state, life }: Pick<Vm, 'state' | 'life'>, nowMs: number): Due | undefined {
  if (life === undefined) return undefined;
  const canStop = state === 'RUNNING' || (state === 'FAILED' && life.problem !== '');
  const canDestroy = canStop || state === 'STOPPED' || state === 'FAILED';
  const over = (expireMs(life) ?? Infinity) <= nowMs;
  if (over && (life.onExpire === 'destroy' ? canDestroy : canStop)) {
    return { cause: 'TTL', action: life.onExpire };
  }
  const idle = (idleStopMs(life) ?? Infinity) <= nowMs;
  return idle && canStop ? { cause: 'IDLE', action: 'stop' } : undefined;
}

/** The same life later or earlier by time that does not count. */
export function shifted(life: VmLife, byMs: number): VmLife {
  const { ttlFromMs, activeMs, seenMs, keepUntilMs } = life;
  return {
    ...life,
    ttlFromMs: ttlFromMs + byMs,
    activeMs: activeMs + byMs,
    seenMs: seenMs + byMs,
    ...(keepUntilMs === undefined ? {} : { keepUntilMs: keepUntilMs + byMs }),
  };
}

/** The life of a machine that was started: it is active now, and a ttl that was over begins anew. */
export function renewed(life: VmLife | undefined, nowMs: number): { readonly life?: VmLife } {
  if (life === undefined) return {};
  const over = (expireMs(life) ?? Infinity) <= nowMs;
  const ttlFromMs = over ? nowMs : life.ttlFromMs;
  return { life: { ...life, ttlFromMs, activeMs: nowMs, problem: '' } };
}

/** The life with a keep-alive, which never shortens one that is in force. */
export function kept(life: VmLife, untilMs: number, nowMs: number): VmLife {
  return { ...life, activeMs: nowMs, keepUntilMs: Math.max(untilMs, life.keepUntilMs ?? 0) };
}
