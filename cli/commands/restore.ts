import { Command, Option } from 'clipanion';
import { BaseCommand } from '../base-command.js';
import { jsonLine } from '../format/json.js';

/** Take a machine back to a snapshot; tasks in hand end as LOST. */
export class RestoreCommand extends BaseCommand {
  static override paths = [['restore']];
  static synopsis = 'restore <name> <snapshot>';
  static override usage = Command.Usage({
    description: 'Take a machine back to a snapshot; tasks in hand end as LOST.',
    examples: [['', '$0 restore dev clean']],
  });

  name = Option.String();
  snapshotName = Option.String();

  async execute(): Promise<number> {
    const client = await this.connect();
    const vm = await client.vm.restore(this.name, this.snapshotName);
    if (this.json) await this.print(jsonLine(vm));
    else this.note(`${this.name} is back at ${this.snapshotName}`);
    return 0;
  }
}
