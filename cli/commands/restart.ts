import { Command, Option } from 'clipanion';
import { BaseCommand } from '../base-command.js';
import { jsonLine } from '../format/json.js';

/** Stop and start a machine. */
export class RestartCommand extends BaseCommand {
  static override paths = [['restart']];
  static synopsis = 'restart <name>';
  static override usage = Command.Usage({
    description: 'Stop and start a machine.',
    examples: [['', '$0 restart dev']],
  });

  name = Option.String();

  async execute(): Promise<number> {
    const client = await this.connect();
    const vm = await client.vm.restart(this.name);
    if (this.json) await this.print(jsonLine(vm));
    else this.note(`${this.name} is running`);
    return 0;
  }
}
