import { arch, platform } from 'node:os';
import { KeyedMutex } from '../../../base/keyed-mutex.js';
import { HubError } from '../../../model/hub-error.js';
import type { ImageStore, StoredImage } from '../../images/image-store.js';
import type { Acceleration } from '../../provider.js';
import { AccelerationProof } from './acceleration.js';
import { type HostFindings, kernelRelease, probeHost, type QemuHost } from './host.js';

/** Options of {@link HostFacts}. */
export interface HostFactsOptions {
  /** User id of this process. */
  readonly uid?: number;
  readonly images: ImageStore;
  /** File that keeps what was found out about acceleration. */
  readonly accelerationFile: string;
}

/** What is known of this host: looked at once, and again while it cannot run machines. */
export class HostFacts {
  private readonly mutex = new KeyedMutex();
  private readonly proof: AccelerationProof;
  private findings: HostFindings | undefined;

  constructor(private readonly options: HostFactsOptions) {
    this.proof = new AccelerationProof({ cacheFile: options.accelerationFile });
  }

  /** Why machines have no internet, as far as is known; empty when they have it. */
  get noInternet(): string {
    const { findings } = this;
    if (findings === undefined) return 'it is not known yet whether they can be kept away from the host';
    return 'problem' in findings ? findings.problem : findings.noInternet;
  }

  look(signal: AbortSignal): Promise<HostFindings> {
    return this.mutex.run('host', async () => {
      const old = this.findings;
      const found = old === undefined || 'problem' in old ? await probeHost(this.options.uid, signal) : old;
      this.findings = found;
      return found;
    });
  }

  /** Whether machines have namespaces of their own. */
  async namespaces(signal: AbortSignal): Promise<boolean> {
    const host = await this.look(signal);
    return !('problem' in host) && host.namespaces;
  }

  /** @throws HubError PROVIDER_UNAVAILABLE. */
  async host(signal: AbortSignal): Promise<QemuHost> {
    const host = await this.look(signal);
    if (!('problem' in host)) return host;
    const message = `virtual machines do not work on this host: ${host.problem}`;
    throw new HubError('PROVIDER_UNAVAILABLE', message, { metadata: { provider: 'qemu' } });
  }

  /**
   * How machines are sped up. One proof at a time; those that wait find its answer. An image without a kernel of its
   * own takes what another one found.
   */
  async acceleration(signal: AbortSignal, image?: StoredImage): Promise<Acceleration> {
    const kernel = image?.paths.kernel ?? (await this.anyKernel());
    if (kernel === undefined) return { kind: 'tcg', reason: 'there is no image of our own to try it with' };
    const { version } = await this.host(signal);
    const host = { platform: platform(), arch: arch(), kernel: await kernelRelease(), qemu: version };
    return this.mutex.run('acceleration', () => this.proof.find(host, kernel, signal));
  }

  private async anyKernel(): Promise<string | undefined> {
    const rows = await this.options.images.list();
    return rows.map(({ image }) => image?.paths.kernel).find((kernel) => kernel !== undefined);
  }
}
