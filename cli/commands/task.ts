import { Command, Option } from 'clipanion';
import type { Task } from '../../src/client/index.js';
import { BaseCommand } from '../base-command.js';
import { parseDuration } from '../format/duration.js';
import { taskExitCode } from '../format/exit-code.js';
import { jsonLine } from '../format/json.js';
import { UsageError } from '../usage-error.js';

/** Largest task read from standard input: what one call may carry. */
const MAX_TASK_BYTES = 4 * 1024 * 1024;

/** Hands in a task as JSON. */
export class TaskCommand extends BaseCommand {
  static override paths = [['task']];
  static synopsis =
    'task <name> <task-json> [options]\n  vm-agent task --requires <a,b> <task-json> [options]';
  static override usage = Command.Usage({
    description: 'Hand in a task as JSON, as REST takes it; "-" reads the JSON from standard input.',
    examples: [
      ['', `$0 task dev '{"type":"build","cwd":"/opt/repo"}' --wait`],
      ['', `$0 task --requires docker '{"type":"exec","command":"docker ps"}'`],
    ],
  });

  wait = Option.Boolean('--wait', false, {
    description: 'wait for the end; answer the outcome and its exit code',
  });
  timeout = Option.String('--timeout', {
    description: '<time> kill it after this long: 30s, 5m, or milliseconds',
  });
  requires = Option.String('--requires', { description: '<a,b> any agent that can do all this' });
  words = Option.Rest({ required: 1 });

  async execute(): Promise<number> {
    const request = await this.request();
    const client = await this.connect();
    const { taskId } = await client.tasks.create(request);
    if (!this.wait) {
      await this.print(this.json ? jsonLine({ taskId, status: 'sent' }) : `Task ID: ${taskId}\n`);
      return 0;
    }
    this.note(`Task ID: ${taskId}`);
    const task = await client.tasks.wait(taskId, { signal: this.context.signal });
    await this.print(jsonLine(this.json ? task : result(task)));
    return taskExitCode(task);
  }

  private async request() {
    const { taskFromJson } = await import('../../src/client/task-json.js');
    const { agent, json } = this.target();
    const task = taskFromJson(json === '-' ? await this.readStdin() : json);
    const requiredCapabilities = (this.requires ?? '').split(',').map((item) => item.trim());
    return {
      ...task,
      agent,
      requiredCapabilities: [
        ...task.requiredCapabilities,
        ...requiredCapabilities.filter((item) => item !== ''),
      ],
      ...(this.timeout === undefined ? {} : { timeout: parseDuration('--timeout', this.timeout) }),
    };
  }

  private target(): { readonly agent: string; readonly json: string } {
    const [first = '', second, ...more] = this.words;
    if (this.requires !== undefined && second === undefined) return { agent: '', json: first };
    if (this.requires === undefined && second !== undefined && more.length === 0)
      return { agent: first, json: second };
    throw new UsageError('give an agent and a task in JSON, or --requires and a task in JSON');
  }

  private async readStdin(): Promise<string> {
    const chunks: Buffer[] = [];
    let size = 0;
    for await (const chunk of this.context.stdin) {
      const bytes = Buffer.from(chunk as Uint8Array | string);
      size += bytes.length;
      if (size > MAX_TASK_BYTES) throw new UsageError(`a task has at most ${MAX_TASK_BYTES} bytes`);
      chunks.push(bytes);
    }
    return Buffer.concat(chunks).toString('utf8');
  }
}

function result({ id, agent, state, outcome }: Task) {
  return { taskId: id, agent, state, ...outcome };
}
