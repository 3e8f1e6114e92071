import { Command, Option } from 'clipanion';
import { BaseCommand } from '../base-command.js';
import { jsonLine } from '../format/json.js';

/** Start a stopped machine and wait until its agent is online. */
export class StartCommand extends BaseCommand {
  static override paths = [['start']];
  static synopsis = 'start <name>';
  static override usage = Command.Usage({
    description: 'Start a stopped machine and wait until its agent is online.',
    examples: [['', '$0 start dev']],
  });

  name = Option.String();

  async execute(): Promise<number> {
    const client = await this.connect();
    const answer = await client.vm.start(this.name);
    if (this.json) await this.print(jsonLine(answer));
    else this.note(`${this.name} is running`);
    return 0;
  }
}
