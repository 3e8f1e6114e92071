import { rm } from 'node:fs/promises';
import { HubProcess } from '../../test/support/e2e/hub-process.js';

/** Loaded into processes that are measured. */
export const IN_HUB = new URL('in-hub.mjs', import.meta.url).href;

/** An agent that was registered by hand. */
export interface Registered {
  readonly agentId: string;
  readonly token: string;
  /** The agent door. */
  readonly door: string;
}

/** The built hub in a process of its own, on an empty home and free ports. */
export class BenchHub implements AsyncDisposable {
  private constructor(
    readonly hub: HubProcess,
    /** The admin token. */
    readonly token: string,
  ) {}

  /** `PROFILE=dir` writes a profile of the hub's processor time there; it costs some of it. */
  static async start(): Promise<BenchHub> {
    const { PROFILE } = process.env;
    const profile = PROFILE ? { BENCH_PROFILE: PROFILE } : {};
    const hub = await HubProcess.start({ env: { NODE_OPTIONS: `--import ${IN_HUB}`, ...profile } });
    return new BenchHub(hub, await hub.token());
  }

  get pid(): number {
    return this.hub.pid;
  }

  get address(): string {
    return this.hub.grpcAddress;
  }

  /** Adds an agent that has no machine. */
  async register(agentId: string): Promise<Registered> {
    const answer = await this.hub.rest('POST', '/agents/register', { agentId });
    const [token, door] = [answer.at('token'), answer.at('door')];
    if (typeof token !== 'string' || typeof door !== 'string')
      throw new Error(`the agent cannot be registered: ${answer.text}`);
    return { agentId, token, door };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.hub.stop();
    await rm(this.hub.home, { recursive: true, force: true });
  }
}
