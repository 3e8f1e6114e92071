import { Command, Option } from 'clipanion';
import { TASK_STATES, type TaskState } from '../../src/model/task.js';
import { BaseCommand } from '../base-command.js';
import { parseCount } from '../format/duration.js';
import { jsonLine } from '../format/json.js';
import { taskTable } from '../format/tables.js';
import { UsageError } from '../usage-error.js';

/** List tasks, newest first. */
export class TasksCommand extends BaseCommand {
  static override paths = [['tasks']];
  static synopsis = 'tasks [options]';
  static override usage = Command.Usage({
    description: 'List tasks, newest first.',
    examples: [['', '$0 tasks --agent dev --state RUNNING']],
  });

  agent = Option.String('--agent', { description: '<name> only tasks of this agent' });
  state = Option.Array('--state', {
    description: '<state> only tasks in this state; may be given several times',
  });
  lines = Option.String('-n,--lines', { description: '<n> how many (default 50, at most 500)' });

  async execute(): Promise<number> {
    const states = (this.state ?? []).map(taskState);
    const pageSize = this.lines === undefined ? 0 : parseCount('--lines', this.lines, 500);
    const client = await this.connect();
    const { tasks } = await client.tasks.list({ agent: this.agent ?? '', states, pageSize });
    await this.print(this.json ? jsonLine(tasks) : taskTable(tasks));
    return 0;
  }
}

function taskState(text: string): TaskState {
  const state = TASK_STATES.find((known) => known === text.toUpperCase());
  if (!state) throw new UsageError(`--state: must be one of ${TASK_STATES.join(', ')}, not '${text}'`);
  return state;
}
