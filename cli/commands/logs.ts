import { Command, Option } from 'clipanion';
import { messageOf } from '../../src/base/errno.js';
import type { LogRecord, VmAgentClient } from '../../src/client/index.js';
import { HubError } from '../../src/model/hub-error.js';
import { BaseCommand } from '../base-command.js';
import { parseCount } from '../format/duration.js';
import { safe } from '../format/errors.js';
import { jsonLine } from '../format/json.js';
import { logLine } from '../format/logs.js';
import { UsageError } from '../usage-error.js';
import { write } from '../write.js';

/** How long the hub may be away while logs are followed. */
const RECONNECT_MS = 10 * 60_000;
const DEFAULT_LINES = 100;
const MAX_LINES = 1_000_000;

/** Shows what tasks wrote. */
export class LogsCommand extends BaseCommand {
  static override paths = [['logs']];
  static synopsis = 'logs <name> [options]';
  static override usage = Command.Usage({
    description: 'Show what the tasks of an agent wrote, each stream to its own, or its console.',
    examples: [
      ['', '$0 logs dev --lines 5'],
      ['', '$0 logs dev --follow --timestamps'],
      ['', '$0 logs dev --console'],
    ],
  });

  follow = Option.Boolean('-f,--follow', false, { description: 'go on with what comes, until Ctrl-C' });
  lines = Option.String('-n,--lines', {
    description: `<n> how many of the last lines (default ${DEFAULT_LINES})`,
  });
  task = Option.String('--task', {
    description: '<id> only the output of this task, all of it without --lines',
  });
  console = Option.Boolean('--console', false, {
    description: 'the console of its machine: what it shows at its boot, and what went wrong',
  });
  timestamps = Option.Boolean('--timestamps', false, { description: 'show when each line was read' });
  name = Option.String();

  async execute(): Promise<number> {
    const client = await this.connect();
    const lines = this.lines === undefined ? undefined : parseCount('--lines', this.lines, MAX_LINES);
    if (this.console) return this.showConsole(client, lines);
    const scope = this.task === undefined ? { agent: this.name } : { task: this.task };
    const count = lines ?? (this.task === undefined ? DEFAULT_LINES : undefined);
    let request: Parameters<VmAgentClient['logs']>[0] = {
      ...scope,
      follow: this.follow,
      ...(count === undefined ? {} : { lines: count }),
    };
    const options = { signal: this.context.signal, reconnectMs: this.follow ? RECONNECT_MS : 0 };
    for (let exitCode = 0; ; ) {
      try {
        for await (const record of client.logs(request, options)) await this.show(record);
        return exitCode;
      } catch (err) {
        const cursor = behindDamage(err);
        if (cursor === undefined) throw err;
        this.note(`vm-agent: ${messageOf(err)}`);
        request = { ...scope, follow: this.follow, cursor };
        exitCode = this.exitCodeOf(err);
      }
    }
  }

  private async showConsole(client: VmAgentClient, lines: number | undefined): Promise<number> {
    if (this.follow || this.task !== undefined || this.timestamps) {
      throw new UsageError('--console: goes with --lines only');
    }
    const text = lines === 0 ? '' : await client.vm.console(this.name, lines ?? 0);
    if (this.json) await this.print(jsonLine({ text }));
    else if (text === '') this.note(`the console of ${this.name} is empty`);
    else await this.print(`${safe(text.replace(/\r+\n/g, '\n')).trimEnd()}\n`);
    return 0;
  }

  private async show(record: LogRecord): Promise<void> {
    if (this.json) return this.print(jsonLine(record));
    if (record.stream === 'GAP') return this.note(`vm-agent: ${record.gapBytes} bytes of output were lost`);
    const stream = record.stream === 'STDERR' ? this.context.stderr : this.context.stdout;
    await write(stream, logLine(record, this.timestamps));
  }
}

/** Where output goes on behind a damaged piece of it; undefined for every other error. */
function behindDamage(err: unknown): string | undefined {
  return err instanceof HubError && err.reason === 'STORE_CORRUPT' ? err.metadata.next : undefined;
}
