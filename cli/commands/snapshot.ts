import { Command, Option } from 'clipanion';
import { BaseCommand } from '../base-command.js';
import { jsonLine } from '../format/json.js';
import { UsageError } from '../usage-error.js';

/** Saves the state of a machine, or removes a saved one. */
export class SnapshotCommand extends BaseCommand {
  static override paths = [['snapshot']];
  static synopsis = 'snapshot <name> [snapshot-name] [options] | snapshot delete <name> <snapshot-name>';
  static override usage = Command.Usage({
    description: 'Save the state of a machine; answers the name of the snapshot.',
    examples: [
      ['', '$0 snapshot dev clean'],
      ['', '$0 snapshot delete dev clean'],
    ],
  });

  description = Option.String('--description', { description: '<text> a few words about it' });
  name = Option.String();
  snapshotName = Option.String({ required: false });
  deletedName = Option.String({ required: false });

  async execute(): Promise<number> {
    if (this.deletedName !== undefined) return this.remove(this.snapshotName ?? '', this.deletedName);
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

  private async remove(agent: string, snapshot: string): Promise<number> {
    if (this.name !== 'delete') {
      throw new UsageError(
        `too many names; to remove one: vm-agent snapshot delete ${this.name} ${snapshot}`,
      );
    }
    const client = await this.connect();
    await client.vm.removeSnapshot(agent, snapshot);
    if (this.json) await this.print(jsonLine({}));
    else this.note(`${agent} has no snapshot ${snapshot} any more`);
    return 0;
  }
}
