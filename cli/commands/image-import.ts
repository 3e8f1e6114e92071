import { Command, Option } from 'clipanion';
import { importImage } from '../../src/vm/images/import-image.js';
import { imageSummary, jsonOfImage } from '../format/images.js';
import { jsonLine } from '../format/json.js';
import { ImageCommand } from '../image-command.js';

/** Takes in a cloud image. */
export class ImageImportCommand extends ImageCommand {
  static override paths = [['image', 'import']];
  static synopsis = 'image import <file> [options]';
  static override usage = Command.Usage({
    description: 'Take in an ordinary cloud image: qcow2 or raw, with its own bootloader and cloud-init.',
    examples: [['', '$0 image import debian-12-genericcloud-amd64.qcow2 --name debian-cloud']],
  });

  name = Option.String('--name', {
    description: '<name> name of the image (default: made of the file name)',
  });
  file = Option.String();

  async execute(): Promise<number> {
    const store = this.store();
    const named = this.name === undefined ? {} : { name: this.name };
    const { env, signal } = this.context;
    const options = { store, file: this.file, arch: process.arch, env, ...named };
    const image = await importImage(options, this.report, signal);
    await store.prune(() => this.uses(), signal);
    await this.print(this.json ? jsonLine(jsonOfImage(image)) : imageSummary(image));
    return 0;
  }
}
