import { Command, Option } from 'clipanion';
import { jsonLine } from '../format/json.js';
import { ImageCommand } from '../image-command.js';

/** Removes a disk image. */
export class ImageRemoveCommand extends ImageCommand {
  static override paths = [['image', 'remove']];
  static synopsis = 'image remove <name> [options]';
  static override usage = Command.Usage({
    description: 'Remove a disk image by its name or id, unless a machine uses it.',
    examples: [['', '$0 image remove builder']],
  });

  name = Option.String();

  async execute(): Promise<number> {
    const gone = await this.store().remove(this.name, () => this.uses(), this.context.signal);
    if (this.json) await this.print(jsonLine({ name: this.name, removed: gone }));
    else if (gone) this.note(`image ${this.name} is removed`);
    else this.note(`the name ${this.name} is removed; the image has another name`);
    return 0;
  }
}
