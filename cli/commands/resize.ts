import { Command, Option } from 'clipanion';
import { BaseCommand } from '../base-command.js';
import { parseCount } from '../format/duration.js';
import { jsonLine } from '../format/json.js';
import { UsageError } from '../usage-error.js';

/** Gives a machine other resources. */
export class ResizeCommand extends BaseCommand {
  static override paths = [['resize']];
  static synopsis = 'resize <name> [options]';
  static override usage = Command.Usage({
    description: 'Give a machine other resources; what is not named stays, and a disk only grows.',
    examples: [['', '$0 resize dev --memory 8G --disk 40G']],
  });

  cpu = Option.String('-c,--cpu,--cpus', { description: '<n> virtual processors' });
  memory = Option.String('-m,--memory', { description: '<size> memory, such as 4G' });
  disk = Option.String('-d,--disk', { description: '<size> disk, such as 40G; not less than it has' });
  name = Option.String();

  async execute(): Promise<number> {
    const { cpu, memory = '', disk = '' } = this;
    if (cpu === undefined && memory === '' && disk === '') {
      throw new UsageError('give at least one of --cpu, --memory and --disk');
    }
    const request = { cpu: cpu === undefined ? 0 : parseCount('--cpu', cpu, 256), memory, disk };
    const client = await this.connect();
    const answer = await client.vm.resize({ agent: this.name, ...request });
    if (this.json) await this.print(jsonLine(answer));
    else {
      const { cpu: cpus, memory: ram, disk: room } = answer.vm?.resources ?? { cpu: 0, memory: '', disk: '' };
      this.note(`${this.name} has ${cpus} processors, ${ram} memory and ${room} disk`);
      if (answer.restartNeeded)
        this.note(`some of it only from its next start: vm-agent restart ${this.name}`);
    }
    return 0;
  }
}
