import { Command } from 'clipanion';
import { diagnose } from '../../src/app/doctor/diagnose.js';
import { loadHubConfig } from '../../src/config/hub-config.js';
import { doctorReport } from '../format/doctor.js';
import { jsonLine } from '../format/json.js';
import { HubOptionsCommand } from '../hub-options.js';

/** Says what is there on this host, what is missing, and what mends it. */
export class DoctorCommand extends HubOptionsCommand {
  static override paths = [['doctor']];
  static synopsis = 'doctor [options]';
  static override usage = Command.Usage({
    description:
      'Say what is there on this host, what is missing, and the command that mends it; exits 0 when a hub can make machines here, else 1.',
    examples: [['', '$0 doctor']],
  });

  async execute(): Promise<number> {
    const { env, signal } = this.context;
    const config = loadHubConfig({ flags: this.flags(), env });
    const diagnosis = await diagnose({ config, env, signal });
    await this.print(this.json ? jsonLine(diagnosis) : doctorReport(diagnosis));
    return diagnosis.works ? 0 : 1;
  }
}
