import { untilAborted } from '../base/abort.js';
import type { Clock } from '../base/clock.js';
import { messageOf } from '../base/errno.js';
import { HubError } from '../model/hub-error.js';
import type { ProviderInfo } from '../model/vm.js';
import { withDeadline } from './deadline.js';
import type { ProviderCapabilities, SelfTest, VmProvider } from './provider.js';

/** Which provider is taken when none is named: the first of these that works. */
const PREFERENCE = ['qemu', 'multipass', 'incus', 'local'];
const SELF_TEST_MS = 15_000;

/** The providers that this hub was given, the preferred first. */
export class ProviderRegistry {
  private readonly providers: readonly VmProvider[];

  constructor(
    providers: readonly VmProvider[],
    private readonly clock: Clock,
    /** Taken when none is named; empty for the best that works. */
    private readonly preferred = '',
  ) {
    this.providers = [...providers].sort((a, b) => rank(a) - rank(b));
  }

  /** @throws HubError PROVIDER_NOT_FOUND naming those that there are. */
  get(name: string): VmProvider {
    const provider = this.providers.find((item) => item.name === name);
    if (provider) return provider;
    const known = this.providers.map((item) => item.name).join(', ');
    const message = `there is no provider ${JSON.stringify(name.slice(0, 64))}; choose one of: ${known}`;
    throw new HubError('PROVIDER_NOT_FOUND', message, { metadata: { provider: name.slice(0, 64), known } });
  }

  /**
   * The named one, or the one that is set to be the default, or the best that works.
   *
   * @throws HubError PROVIDER_NOT_FOUND, PROVIDER_UNAVAILABLE with what the self-tests say.
   */
  async choose(name: string | undefined, signal: AbortSignal): Promise<VmProvider> {
    const asked = name || this.preferred;
    const candidates = asked ? [this.get(asked)] : this.providers;
    const reasons: string[] = [];
    for (const provider of candidates) {
      const test = await this.test(provider, signal);
      if (test.works) return provider;
      reasons.push(`${provider.name}: ${test.reason}`);
    }
    const message = `no provider works on this host: ${reasons.join('; ') || 'none is configured'}`;
    throw new HubError('PROVIDER_UNAVAILABLE', message, { metadata: { provider: name ?? '' } });
  }

  /** All of them, with what their self-tests say. */
  async describe(signal: AbortSignal): Promise<readonly ProviderInfo[]> {
    const tests = await Promise.all(this.providers.map((provider) => this.test(provider, signal)));
    const set = this.providers.findIndex((provider) => provider.name === this.preferred);
    const first = set === -1 ? tests.findIndex((test) => test.works) : set;
    return Promise.all(
      this.providers.map(async (provider, i) => ({
        name: provider.name,
        available: tests[i]?.works ?? false,
        reason: reasonOf(tests[i]),
        isDefault: i === first,
        capabilities: capabilityNames(provider.capabilities),
        isolation: await provider.isolation(),
        networks: provider.capabilities.networks,
        ...(await this.acceleration(provider, signal)),
      })),
    );
  }

  /** In the order of preference. */
  all(): readonly VmProvider[] {
    return this.providers;
  }

  /** None where it cannot be told in time. */
  private async acceleration(provider: VmProvider, signal: AbortSignal) {
    const limit = { what: `acceleration of ${provider.name}`, deadlineMs: SELF_TEST_MS };
    const found = await withDeadline(this.clock, limit, [signal], (inner) =>
      untilAborted(Promise.resolve(provider.acceleration?.(inner)), inner),
    ).catch(() => undefined);
    return found === undefined ? {} : { acceleration: found };
  }

  /** A self-test that fails by itself, or takes too long, says that it does not work. */
  private async test(provider: VmProvider, signal: AbortSignal): Promise<SelfTest> {
    const limit = { what: `self-test of ${provider.name}`, deadlineMs: SELF_TEST_MS };
    try {
      return await withDeadline(this.clock, limit, [signal], (inner) =>
        untilAborted(provider.selfTest(inner), inner),
      );
    } catch (err) {
      signal.throwIfAborted();
      return { works: false, reason: messageOf(err) };
    }
  }
}

function rank(provider: VmProvider): number {
  const place = PREFERENCE.indexOf(provider.name);
  return place === -1 ? PREFERENCE.length : place;
}

function reasonOf(test: SelfTest | undefined): string {
  return test === undefined || test.works ? '' : test.reason;
}

function capabilityNames(capabilities: ProviderCapabilities): readonly string[] {
  const names = [
    capabilities.snapshot ? 'snapshot' : '',
    capabilities.liveSnapshot ? 'live-snapshot' : '',
    capabilities.console ? 'console' : '',
    capabilities.enforces.length > 0 ? 'limits' : '',
  ];
  return names.filter((name) => name !== '');
}
