import { Command, Option } from 'clipanion';
import { BaseCommand } from '../base-command.js';
import { jsonLine } from '../format/json.js';
import { snapshotTable } from '../format/tables.js';

/** List the snapshots of a machine, oldest first. */
export class SnapshotsCommand extends BaseCommand {
  static override paths = [['snapshots']];
  static synopsis = 'snapshots <name>';
  static override usage = Command.Usage({
    description: 'List the snapshots of a machine, oldest first: kind (live: memory and disk), age, size.',
    examples: [['', '$0 snapshots dev']],
  });

  name = Option.String();

  async execute(): Promise<number> {
    const client = await this.connect();
    const snapshots = await client.vm.snapshots(this.name);
    if (this.json) await this.print(jsonLine(snapshots));
    else if (snapshots.length === 0) this.note(`${this.name} has no snapshots`);
    else await this.print(snapshotTable(snapshots, Date.now()));
    return 0;
  }
}
