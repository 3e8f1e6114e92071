import { Command, Option } from 'clipanion';
import type { VmAgentClient } from '../src/client/index.js';
import { HubError } from '../src/model/hub-error.js';
import type { CliContext } from './context.js';
import { write } from './write.js';

/** How long a hub that is not there may take to be noticed. */
const CONNECT_TIMEOUT_MS = 2_500;
const XDS_CONNECT_TIMEOUT_MS = 5_000;

/** What all commands share: global options, the connection to the hub, ways to write. */
export abstract class BaseCommand extends Command<CliContext> {
  hub = Option.String('--hub', {
    description: '<address> where the hub is (default $VM_AGENT_HUB or 127.0.0.1:9090)',
  });
  json = Option.Boolean('--json', false, { description: 'write JSON' });
  debug = Option.Boolean('--debug', false, { description: 'show stack traces' });

  private client: VmAgentClient | undefined;

  abstract override execute(): Promise<number | undefined>;

  /** Connects to the hub that was asked for; the connection is closed when the command has ended. */
  protected async connect(options: { readonly cancellable?: boolean } = {}): Promise<VmAgentClient> {
    const [{ createClient, parseAddress }, { hubSettings }] = await Promise.all([
      import('../src/client/index.js'),
      import('./hub-settings.js'),
    ]);
    const { address, tokenFor } = hubSettings(this.context.env, this.hub);
    const parsed = parseAddress(address);
    const token = tokenFor(parsed.local);
    this.client = createClient({
      address,
      connectTimeoutMs: parsed.kind === 'xds' ? XDS_CONNECT_TIMEOUT_MS : CONNECT_TIMEOUT_MS,
      ...(token === undefined ? {} : { token }),
      ...(options.cancellable === false ? {} : { signal: this.context.signal }),
    });
    return this.client;
  }

  /** Writes a result; waits while the reader is slow. */
  protected async print(text: string | Uint8Array): Promise<void> {
    await write(this.context.stdout, text);
  }

  /** Writes a line for the person, beside the results. */
  protected note(text: string): void {
    this.context.stderr.write(`${text}\n`);
  }

  /** Exit code of an error that ended the command. */
  exitCodeOf(err: unknown): number {
    return HubError.from(err).codes.exit;
  }

  /** Closes what was opened. */
  async close(): Promise<void> {
    this.client?.close();
  }
}
