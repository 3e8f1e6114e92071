import { Command, Option } from 'clipanion';
import { systemClock } from '../../src/base/clock.js';
import type { VmAgentClient } from '../../src/client/index.js';
import { HubError } from '../../src/model/hub-error.js';
import { BaseCommand } from '../base-command.js';
import { agentStatus } from '../format/agents.js';
import { jsonLine } from '../format/json.js';

const WATCH_MS = 2_000;
const CLEAR = '\u001b[H\u001b[2J';

/** Shows one agent. */
export class StatusCommand extends BaseCommand {
  static override paths = [['status']];
  static synopsis = 'status <name> [options]';
  static override usage = Command.Usage({
    description: 'Show one agent: connection, resources, machine, tasks and snapshots.',
    examples: [['', '$0 status dev --watch']],
  });

  watch = Option.Boolean('-w,--watch', false, { description: 'show it again every 2 seconds until Ctrl-C' });
  name = Option.String();

  async execute(): Promise<number> {
    const client = await this.connect();
    await this.print(await this.text(client));
    while (this.watch) {
      await systemClock.sleep(WATCH_MS, this.context.signal);
      const text = await this.text(client);
      await this.print(this.context.stdout.isTTY ? `${CLEAR}${text}` : text);
    }
    return 0;
  }

  private async text(client: VmAgentClient): Promise<string> {
    const answer = await client.agents.get(this.name);
    if (this.json) return jsonLine(answer);
    const snapshots = answer.vm ? await client.vm.snapshots(this.name).catch(noneIfRefused) : [];
    return agentStatus(answer, snapshots, Date.now());
  }
}

/** A provider without snapshots has none to show. */
function noneIfRefused(err: unknown): [] {
  if (err instanceof HubError && (err.reason === 'NOT_SUPPORTED' || err.reason === 'VM_NOT_FOUND')) return [];
  throw err;
}
