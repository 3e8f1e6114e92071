import { Option } from 'clipanion';
import { homePaths, resolveHome } from '../src/config/home.js';
import { ImageStore, type ImageUses } from '../src/vm/images/image-store.js';
import { imageUses } from '../src/vm/providers/qemu/image-uses.js';
import { BaseCommand } from './base-command.js';
import { safe } from './format/errors.js';

/** What the commands about disk images share: the images of a home of this host. No hub is needed for them. */
export abstract class ImageCommand extends BaseCommand {
  home = Option.String('--home', { description: '<dir> where everything is kept (default $VM_AGENT_HOME)' });

  protected places() {
    return homePaths(resolveHome(this.home ? { VM_AGENT_HOME: this.home } : this.context.env));
  }

  protected store(): ImageStore {
    return new ImageStore(this.places().imagesDir);
  }

  /** Machines of this home by the image that they use. */
  protected uses(): Promise<ImageUses> {
    return imageUses(this.places().qemuDir);
  }

  /** Tells what is being done, one line each. */
  protected readonly report = (text: string): void => this.note(safe(text));
}
