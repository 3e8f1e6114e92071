import { Command, Option } from 'clipanion';
import { BaseCommand } from '../base-command.js';
import { jsonLine } from '../format/json.js';

/** Cancel a task; one that has ended stays as it is. */
export class CancelCommand extends BaseCommand {
  static override paths = [['cancel']];
  static synopsis = 'cancel <task> [options]';
  static override usage = Command.Usage({
    description: 'Cancel a task; one that has ended stays as it is.',
    examples: [['', '$0 cancel 5e0c']],
  });

  force = Option.Boolean('-f,--force', false, { description: 'kill it at once' });
  task = Option.String();

  async execute(): Promise<number> {
    const client = await this.connect();
    const task = await client.tasks.cancel(this.task, { force: this.force });
    if (this.json) await this.print(jsonLine(task));
    else this.note(`task ${task.id}: ${task.cancelRequested ? 'cancel requested' : task.state}`);
    return 0;
  }
}
