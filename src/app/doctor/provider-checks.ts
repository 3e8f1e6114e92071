import { untilAborted } from '../../base/abort.js';
import { messageOf } from '../../base/errno.js';
import type { SelfTest, VmProvider } from '../../vm/provider.js';
import type { Check } from './check.js';
import { namespaceFix } from './tool-checks.js';

/** How long one provider may take to look at itself. */
const LIMIT_MS = 30_000;

/** What the hub's own providers say of themselves on this host, and whether one of them works. */
export async function providerChecks(
  providers: readonly VmProvider[],
  signal: AbortSignal,
): Promise<{ readonly works: boolean; readonly checks: readonly Check[] }> {
  const found = await Promise.all(providers.map((provider) => lookAt(provider, signal)));
  const works = found.some(({ test }) => test.works);
  return { works, checks: found.flatMap(({ checks }) => checks) };
}

async function lookAt(provider: VmProvider, signal: AbortSignal) {
  const limit = new AbortController();
  const timer = setTimeout(() => limit.abort(new Error(`no answer within ${LIMIT_MS / 1000} s`)), LIMIT_MS);
  const inner = AbortSignal.any([signal, limit.signal]);
  try {
    const test = await untilAborted(provider.selfTest(inner), inner).catch(
      (err: unknown): SelfTest => ({ works: false, reason: messageOf(err) }),
    );
    const checks = [await selfCheck(provider, test), ...(await accelerationChecks(provider, inner))];
    return { test, checks };
  } finally {
    clearTimeout(timer);
  }
}

async function selfCheck(provider: VmProvider, test: SelfTest): Promise<Check> {
  const local = provider.name === 'local';
  const group = local ? 'machines' : 'virtual machines';
  const base = { group, name: `provider ${provider.name}` } as const;
  if (!test.works) {
    const fix = local ? 'build the agent program: make build' : fixOf(test.reason);
    return { ...base, status: 'warn', detail: `does not work: ${test.reason}`, fix };
  }
  const { kind, notes } = await provider.isolation();
  if (kind !== 'directory') return { ...base, status: 'ok', detail: `works (${kind})` };
  const fix = (await namespaceFix()) ?? 'run the hub as a user that may use unshare(1)';
  const detail = `works, but without namespaces: ${notes.join(' ')}`;
  return { ...base, status: 'warn', detail, fix };
}

function fixOf(reason: string): string {
  if (reason.includes('no image')) return 'vm-agent image build';
  return 'mend what is missing below, then: vm-agent image build';
}

async function accelerationChecks(provider: VmProvider, signal: AbortSignal): Promise<readonly Check[]> {
  const base = { group: 'virtual machines', name: `acceleration of ${provider.name}` } as const;
  try {
    const found = await untilAborted(Promise.resolve(provider.acceleration?.(signal)), signal);
    if (found === undefined) return [];
    if (found.kind !== 'tcg') return [{ ...base, status: 'ok', detail: found.kind }];
    const fix = 'none is needed to work; for speed: a host on which KVM works';
    return [{ ...base, status: 'warn', detail: `tcg (slow: ${found.reason})`, fix }];
  } catch (err) {
    return [{ ...base, status: 'warn', detail: `is not known: ${messageOf(err)}` }];
  }
}
