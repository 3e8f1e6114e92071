import { Command, Option } from 'clipanion';
import { BaseCommand } from '../base-command.js';
import { jsonLine } from '../format/json.js';

/** Save the state of a machine; answers the name of the snapshot. */
export class SnapshotCommand extends BaseCommand {
  static override paths = [['snapshot']];
  static synopsis = 'snapshot <name> [snapshot-name] [options]';
  static override usage = Command.Usage({
    description: 'Save the state of a machine; answers the name of the snapshot.',
    examples: [['', '$0 snapshot dev clean']],
  });

  description = Option.String('--description', { description: '<text> a few words about it' });
  name = Option.String();
  snapshotName = Option.String({ required: false });

  async execute(): Promise<number> {
    const client = await this.connect();
    const name = this.snapshotName ?? `snapshot-${Date.now()}`;
    const snapshot = await client.vm.snapshot({
      agent: this.name,
      name,
      description: this.description ?? '',
    });
    await this.print(this.json ? jsonLine(snapshot) : `${snapshot.name}\n`);
    return 0;
  }
}
