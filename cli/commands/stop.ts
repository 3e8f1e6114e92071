import { Command, Option } from 'clipanion';
import { BaseCommand } from '../base-command.js';
import { jsonLine } from '../format/json.js';

/** Stop a machine; its disk is kept and its running tasks end as LOST. */
export class StopCommand extends BaseCommand {
  static override paths = [['stop']];
  static synopsis = 'stop <name> [options]';
  static override usage = Command.Usage({
    description: 'Stop a machine; its disk is kept and its running tasks end as LOST.',
    examples: [['', '$0 stop dev']],
  });

  force = Option.Boolean('-f,--force', false, { description: 'without waiting for its tasks' });
  name = Option.String();

  async execute(): Promise<number> {
    const client = await this.connect();
    const vm = await client.vm.stop(this.name, { force: this.force });
    if (this.json) await this.print(jsonLine(vm));
    else this.note(`${this.name} is stopped`);
    return 0;
  }
}
