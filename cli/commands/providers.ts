import { Command } from 'clipanion';
import { BaseCommand } from '../base-command.js';
import { jsonLine } from '../format/json.js';
import { providerTable } from '../format/tables.js';

/** List the kinds of machines that the hub can make here. */
export class ProvidersCommand extends BaseCommand {
  static override paths = [['providers']];
  static synopsis = 'providers';
  static override usage = Command.Usage({
    description: 'List the kinds of machines that the hub can make here.',
    examples: [['', '$0 providers']],
  });

  async execute(): Promise<number> {
    const client = await this.connect();
    const providers = await client.vm.providers();
    await this.print(this.json ? jsonLine(providers) : providerTable(providers));
    return 0;
  }
}
