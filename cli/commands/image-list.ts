import { Command } from 'clipanion';
import { imageTable, jsonOfRow } from '../format/images.js';
import { jsonLine } from '../format/json.js';
import { ImageCommand } from '../image-command.js';

/** Lists disk images. */
export class ImageListCommand extends ImageCommand {
  static override paths = [['image', 'list']];
  static synopsis = 'image list [options]';
  static override usage = Command.Usage({
    description: 'List the disk images of this host, and who uses them.',
    examples: [['', '$0 image list']],
  });

  async execute(): Promise<number> {
    const rows = await this.store().list();
    const uses = await this.uses();
    if (this.json) await this.print(jsonLine(rows.map((row) => jsonOfRow(row, uses))));
    else if (rows.length === 0) this.note('no images; make one with: vm-agent image build');
    else await this.print(imageTable(rows, uses));
    return 0;
  }
}
