import { Command } from 'clipanion';
import { BaseCommand } from '../base-command.js';
import { jsonLine } from '../format/json.js';
import { profileTable } from '../format/tables.js';

/** List what machines can be furnished with. */
export class ProfilesCommand extends BaseCommand {
  static override paths = [['profiles']];
  static synopsis = 'profiles';
  static override usage = Command.Usage({
    description:
      'List what machines can be furnished with by create --profile: those built in, and your own in the home under profiles/NAME.json.',
    examples: [['', '$0 profiles']],
  });

  async execute(): Promise<number> {
    const client = await this.connect();
    const profiles = await client.vm.profiles();
    await this.print(this.json ? jsonLine(profiles) : profileTable(profiles));
    return 0;
  }
}
