import { run } from '../../../base/process.js';
import { closedNetworks, TOOL_ENV } from './host.js';

const SCRIPT = 'for network; do ip route replace prohibit "$network" || exit 1; done';
const LIMIT_MS = 10_000;

/**
 * Keeps the host's addresses closed for machines that run: a host gets new ones while they do, and a machine that was
 * adopted may have been started before them.
 */
export class ClosedRoutes {
  private readonly closed = new Map<string, string>();

  constructor(private readonly networks: () => readonly string[] = closedNetworks) {}

  /** @throws Error when the machine's network namespace refuses. */
  async keep(machine: string, pid: number, signal: AbortSignal): Promise<void> {
    const networks = this.networks();
    const now = `${pid} ${networks.join(' ')}`;
    if (this.closed.get(machine) === now) return;
    const inside = ['--target', String(pid), '--user', '--net', '--', 'sh', '-c', SCRIPT, 'sh', ...networks];
    const ran = await run('nsenter', inside, { env: TOOL_ENV, signal, timeoutMs: LIMIT_MS });
    if (ran.code !== 0) throw new Error(`the host's addresses were not closed: ${ran.stderr.trim()}`);
    this.closed.set(machine, now);
  }

  forget(machine: string): void {
    this.closed.delete(machine);
  }
}
