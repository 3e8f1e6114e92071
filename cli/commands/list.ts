import { Command, Option } from 'clipanion';
import { BaseCommand } from '../base-command.js';
import { agentList } from '../format/agents.js';
import { jsonLine } from '../format/json.js';

/** Lists agents. */
export class ListCommand extends BaseCommand {
  static override paths = [['list'], ['ls']];
  static synopsis = 'list [options]';
  static override usage = Command.Usage({
    description: 'List agents.',
    examples: [['', '$0 list --status online']],
  });

  status = Option.String('-s,--status', { description: '<status> only online or offline agents' });
  type = Option.String('-t,--type', { description: '<type> only agents of this type' });
  capability = Option.String('--capability', { description: '<name> only agents that can do this' });

  async execute(): Promise<number> {
    const client = await this.connect();
    const { status, type, capability } = this;
    const agents = await client.agents.list({
      ...(status === undefined ? {} : { status }),
      ...(type === undefined ? {} : { type }),
      ...(capability === undefined ? {} : { capability }),
    });
    await this.print(this.json ? jsonLine(agents) : agentList(agents));
    return 0;
  }
}
