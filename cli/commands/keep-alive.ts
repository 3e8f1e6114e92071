import { Command, Option } from 'clipanion';
import { BaseCommand } from '../base-command.js';
import { MAX_LIFE_MS, parseDuration, spanOf } from '../format/duration.js';
import { jsonLine } from '../format/json.js';
import { lifeFacts } from '../format/machines.js';

/** Holds off what the ttl and the idle stop of a machine would do. */
export class KeepAliveCommand extends BaseCommand {
  static override paths = [['keep-alive']];
  static synopsis = 'keep-alive <name> [options]';
  static override usage = Command.Usage({
    description: 'Keep a machine from being ended by its ttl or idle stop for some time from now.',
    examples: [['', '$0 keep-alive dev --for 2h']],
  });

  duration = Option.String('--for', { description: '<time> how long from now (default 1h)' });
  name = Option.String();

  async execute(): Promise<number> {
    const { duration } = this;
    const span =
      duration === undefined ? {} : { duration: spanOf(parseDuration('--for', duration, MAX_LIFE_MS)) };
    const client = await this.connect();
    const vm = await client.vm.keepAlive({ agent: this.name, ...span });
    if (this.json) await this.print(jsonLine(vm));
    for (const [name, value] of this.json ? [] : lifeFacts(vm, Date.now())) {
      if (value !== '') this.note(`${name}: ${value}`);
    }
    return 0;
  }
}
