import { Command, Option } from 'clipanion';
import type { VmAgentClient } from '../../src/client/index.js';
import { BaseCommand } from '../base-command.js';
import { MAX_LIFE_MS, parseCount, parseDuration, spanOf } from '../format/duration.js';
import { jsonLine } from '../format/json.js';
import { StageDisplay, stageFromEvent } from '../format/stages.js';

/** Makes a machine that becomes an agent. */
export class CreateCommand extends BaseCommand {
  static override paths = [['create']];
  static synopsis = 'create <name> [options]';
  static override usage = Command.Usage({
    description: 'Make a machine that becomes an agent; answers its name when it can run a command.',
    examples: [
      ['', '$0 create dev'],
      ['', '$0 create builder-1 --type builder --cpu 4 --memory 8G --disk 40G --capabilities "build,docker"'],
      [
        '',
        '$0 create try --profile researcher --network isolated --ttl 2h --idle-stop 30m --on-expire destroy',
      ],
    ],
  });

  type = Option.String('-t,--type', { description: '<type> type (default generic)' });
  cpu = Option.String('-c,--cpu,--cpus', { description: '<n> virtual processors (default 2)' });
  memory = Option.String('-m,--memory', { description: '<size> memory, such as 4G (default 4G)' });
  disk = Option.String('-d,--disk', { description: '<size> disk, such as 20G (default 20G)' });
  capabilities = Option.String('--capabilities', { description: '<a,b> what it can do' });
  provider = Option.String('--provider', {
    description: '<name> kind of machine (default: the best that works)',
  });
  image = Option.String('--image', { description: '<name> image to make it from' });
  network = Option.String('--network', {
    description: "<kind> internet or isolated (default: the provider's)",
  });
  profile = Option.String('--profile', { description: '<name> what to furnish it with: vm-agent profiles' });
  ttl = Option.String('--ttl', { description: '<time> how long it lives, such as 2h (default for ever)' });
  idleStop = Option.String('--idle-stop', {
    description: '<time> stop it after so long without tasks and shells',
  });
  onExpire = Option.String('--on-expire', {
    description: '<what> at the end of its ttl: stop, destroy or snapshot (default stop)',
  });
  concurrency = Option.String('--concurrency', { description: '<n> tasks that run at once (default 1)' });
  allowHostSudo = Option.Boolean('--allow-host-sudo', false, {
    description: 'let tasks use sudo where the machine is this host',
  });
  timeout = Option.String('--timeout', {
    description: '<time> how long making it may take (default 10m; 30m with a profile)',
  });
  hubUrl = Option.String('--hub-url', { description: '<url> of the first system; ignored' });
  name = Option.String();

  async execute(): Promise<number> {
    const request = this.request();
    if (this.hubUrl !== undefined)
      this.note('note: --hub-url is ignored: machines are told where the hub is');
    const client = await this.connect();
    const display = new StageDisplay(`create ${this.name}`, this.context.stderr);
    const watching = new AbortController();
    const watched = this.showStages(client, display, watching.signal);
    try {
      const answer = await client.agents.create(request);
      for (const stage of answer.vm?.stages ?? []) display.show(stage);
      display.close();
      await this.print(this.json ? jsonLine(answer) : `${this.name}\n`);
      return 0;
    } finally {
      watching.abort();
      await watched;
      display.close();
    }
  }

  private request() {
    const capabilities = (this.capabilities ?? '').split(',').map((item) => item.trim());
    return {
      name: this.name,
      type: this.type ?? '',
      cpu: this.cpu === undefined ? 0 : parseCount('--cpu', this.cpu, 256),
      memory: this.memory ?? '',
      disk: this.disk ?? '',
      capabilities: capabilities.filter((item) => item !== ''),
      provider: this.provider ?? '',
      image: this.image ?? '',
      network: this.network ?? '',
      profile: this.profile ?? '',
      onExpire: this.onExpire ?? '',
      ...life('ttl', '--ttl', this.ttl),
      ...life('idleStop', '--idle-stop', this.idleStop),
      concurrency: this.concurrency === undefined ? 0 : parseCount('--concurrency', this.concurrency, 64),
      allowHostSudo: this.allowHostSudo,
      ...(this.timeout === undefined ? {} : { timeout: spanOf(parseDuration('--timeout', this.timeout)) }),
    };
  }

  /** Stages are a comfort: when they cannot be watched, creating goes on without them. */
  private async showStages(client: VmAgentClient, display: StageDisplay, signal: AbortSignal): Promise<void> {
    try {
      for await (const event of client.events({ agent: this.name, types: ['vm.stage'] }, { signal })) {
        display.show(stageFromEvent(event.reason, event.message));
      }
    } catch {
      // The answer of the call itself says what went wrong.
    }
  }
}

function life(field: 'ttl' | 'idleStop', option: string, text: string | undefined) {
  return text === undefined ? {} : { [field]: spanOf(parseDuration(option, text, MAX_LIFE_MS)) };
}
