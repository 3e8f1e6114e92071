import { Command, Option } from 'clipanion';
import { BaseCommand } from '../base-command.js';
import { jsonLine } from '../format/json.js';
import { eventLine } from '../format/tables.js';

/** How long the hub may be away meanwhile. */
const RECONNECT_MS = 10 * 60_000;

/** Show what happens as it happens, until Ctrl-C. */
export class EventsCommand extends BaseCommand {
  static override paths = [['events']];
  static synopsis = 'events [options]';
  static override usage = Command.Usage({
    description: 'Show what happens as it happens, until Ctrl-C.',
    examples: [['', '$0 events --agent dev']],
  });

  agent = Option.String('--agent', { description: '<name> only events of this agent' });
  task = Option.String('--task', { description: '<id> only events of this task' });
  type = Option.Array('--type', { description: '<type> only this type, such as task or agent.online' });

  async execute(): Promise<number> {
    const client = await this.connect();
    const request = { agent: this.agent ?? '', task: this.task ?? '', types: this.type ?? [] };
    const options = { signal: this.context.signal, reconnectMs: RECONNECT_MS };
    for await (const event of client.events(request, options)) {
      await this.print(this.json ? jsonLine(event) : eventLine(event));
    }
    return 0;
  }
}
