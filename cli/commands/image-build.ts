import { userInfo } from 'node:os';
import { Command, Option } from 'clipanion';
import { buildImage } from '../../src/vm/images/build-image.js';
import { imageSummary, jsonOfImage } from '../format/images.js';
import { jsonLine } from '../format/json.js';
import { ImageCommand } from '../image-command.js';

/** Makes a disk image from Debian's packages. */
export class ImageBuildCommand extends ImageCommand {
  static override paths = [['image', 'build']];
  static synopsis = 'image build [options]';
  static override usage = Command.Usage({
    description: "Make a disk image from Debian's packages, from where this host takes its own.",
    examples: [
      ['', '$0 image build'],
      ['', '$0 image build --name builder --packages build-essential,jq'],
    ],
  });

  suite = Option.String('--suite', { description: '<name> Debian release (default bookworm)' });
  packages = Option.Array('--packages', { description: '<a,b> packages besides the usual ones' });
  name = Option.String('--name', { description: '<name> name of the image (default default)' });

  async execute(): Promise<number> {
    const { username, uid } = userInfo();
    const store = this.store();
    const image = await buildImage(
      {
        store,
        builder: { uid, name: username },
        arch: process.arch,
        env: this.context.env,
        ...(this.name === undefined ? {} : { name: this.name }),
        ...(this.suite === undefined ? {} : { suite: this.suite }),
        ...(this.packages === undefined
          ? {}
          : { packages: this.packages.flatMap((list) => list.split(',')) }),
      },
      this.report,
      this.context.signal,
    );
    await store.prune(() => this.uses(), this.context.signal);
    await this.print(this.json ? jsonLine(jsonOfImage(image)) : imageSummary(image));
    return 0;
  }
}
