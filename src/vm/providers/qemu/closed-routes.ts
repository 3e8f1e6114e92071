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

  /**
   * @param qemu the machine's QEMU, and whether it has a user of its own: root has to become root in there, an ordinary
   * user is it already.
   * @throws Error when the machine's network namespace refuses.
   */
  async keep(
    machine: string,
    qemu: { readonly pid: number; readonly ownUser: boolean },
    signal: AbortSignal,
  ): Promise<void> {
    const networks = this.networks();
    const now = `${qemu.pid} ${networks.join(' ')}`;
    if (this.closed.get(machine) === now) return;
    const who = qemu.ownUser ? [] : ['--preserve-credentials'];
    const target = ['--target', String(qemu.pid), '--user', '--net', ...who];
    const inside = [...target, '--', 'sh', '-c', SCRIPT, 'sh', ...networks];
    const ran = await run('nsenter', inside, { env: TOOL_ENV, signal, timeoutMs: LIMIT_MS });
    if (ran.code !== 0) throw new Error(`the host's addresses were not closed: ${ran.stderr.trim()}`);
    this.closed.set(machine, now);
  }

  forget(machine: string): void {
    this.closed.delete(machine);
  }
}
