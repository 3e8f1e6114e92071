import { cp, mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type CommandResult, type RunningCommand, runCommand, startCommand } from './e2e/command.js';
import { ROOT } from './e2e/hub-process.js';
import { expectNothingLeft, removeSockets } from './e2e/leftovers.js';
import type { Network } from './e2e/network.js';
import { type CodeBlock, codeBlocks, type Edit, edited } from './seed-document.js';

const FIXTURE = join(ROOT, 'test', 'fixtures', 'seed');

interface Notes {
  readonly edits: readonly Edit[];
  /** Commands that a block takes for granted. */
  readonly before: readonly { readonly block: number; readonly run: string }[];
  /** What a block's output has to match. */
  readonly prints: readonly { readonly block: number; readonly pattern: string }[];
}

const BASH_HELPERS = `
set -e
for_a_while() {
  local code=0
  timeout --signal INT 4 "$@" || code=$?
  case $code in 0|124|130) ;; *) return "$code" ;; esac
}
type_into() {
  local typed=$1
  shift
  printf '%s\\n' "$typed" | timeout 30 script --quiet --return --command "$*" /dev/null
}
`;

// What the document's snippets take for granted: a shell, and a way to post.
const SCRIPT_HELPERS = `
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
const exec = (line) => promisify(execFile)('/bin/sh', ['-c', line]);
const tasks = [];
async function sendTask(agent, task) {
  const response = await fetch('http://localhost:9091/agents/' + agent + '/task', {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(task),
  });
  if (!response.ok) throw new Error(await response.text());
  const { taskId } = await response.json();
  tasks.push(taskId);
  return taskId;
}
async function ended() {
  for (let tries = 0; tries < 1200; tries++) {
    const all = await Promise.all(
      tasks.map(async (id) => (await (await fetch('http://localhost:9091/tasks/' + id)).json()).task),
    );
    if (all.every((task) => task.endTime)) {
      console.log('ENDED ' + JSON.stringify(all));
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error('the tasks did not end');
}
`;

/** The seed document's code and where it runs: a home, a hub on the usual ports, a git server. */
export class SeedRunner {
  #hub: RunningCommand | undefined;
  #git: RunningCommand | undefined;

  private constructor(
    private readonly network: Network,
    private readonly notes: Notes,
    private readonly directory: string,
    readonly blocks: readonly CodeBlock[],
  ) {}

  static async create(network: Network): Promise<SeedRunner> {
    const { blocks, notes } = await readSeed();
    const directory = await mkdtemp(join(tmpdir(), 'vm-agent-seed-'));
    return new SeedRunner(network, notes, directory, blocks);
  }

  private get env(): NodeJS.ProcessEnv {
    const path = `${join(this.directory, 'bin')}:${process.env.PATH}`;
    return { PATH: path, HOME: this.directory, NO_COLOR: '1', PREFIX: this.directory };
  }

  /** Installs, starts the hub by the document's own words (block 1), and serves the repository. */
  async start(): Promise<void> {
    const installed = await runCommand(join(ROOT, 'scripts', 'install.sh'), [], { env: this.env });
    if (installed.exitCode !== 0) throw new Error(installed.stderr);
    await this.serveRepository();
    const [file, ...args] = this.network.enter('bash', '-c', this.blocks[0]?.code ?? '');
    this.#hub = startCommand(file, args, { env: this.env });
    const probe = "await fetch('http://localhost:9091/health').then((r) => process.exit(r.ok ? 0 : 1))";
    const deadline = Date.now() + 30_000;
    while ((await this.inside('node', '--input-type=module', '-e', probe)).exitCode !== 0) {
      if (Date.now() > deadline) throw new Error(`no hub: ${this.#hub.stdout}${this.#hub.stderr}`);
      await sleep(100);
    }
  }

  /** Runs a block of shell commands from the CLI's folder; the commands it takes for granted come first. */
  bash(number: number): Promise<CommandResult> {
    const code = [...this.before(number), this.block(number).code].join('\n');
    return this.shell(code);
  }

  /** Runs shell commands from the CLI's folder. */
  shell(code: string): Promise<CommandResult> {
    return this.inside(
      'bash',
      '-c',
      `${BASH_HELPERS}\ncd ~/.openclaw/workspace/vm-agent-system/cli\n${code}`,
    );
  }

  /** Runs JavaScript with the helpers that the document takes for granted. */
  script(code: string): Promise<CommandResult> {
    return this.inside('node', '--input-type=module', '-e', `${SCRIPT_HELPERS}\n${code}`);
  }

  /** Commands that a block takes for granted. */
  before(number: number): readonly string[] {
    return this.notes.before.filter(({ block }) => block === number).map(({ run }) => run);
  }

  block(number: number): CodeBlock {
    const block = this.blocks[number - 1];
    if (block === undefined) throw new Error(`there is no block ${number}`);
    return block;
  }

  patterns(number: number): readonly RegExp[] {
    const ours = this.notes.prints.filter(({ block }) => block === number);
    return ours.map(({ pattern }) => new RegExp(pattern, 'm'));
  }

  /** Runs a program where the hub is. */
  inside(...command: readonly [string, ...string[]]): Promise<CommandResult> {
    const [file, ...args] = this.network.enter(...command);
    return runCommand(file, args, { env: this.env, timeoutMs: 120_000 });
  }

  /** Destroys what is left, ends hub and git server, and fails when something stays behind. */
  async close(): Promise<void> {
    try {
      await this.shell(
        'for name in $(./vm-agent list | awk "NR > 1 { print \\$1 }"); do ./vm-agent destroy "$name" --force || true; done',
      );
      this.#hub?.child.kill('SIGTERM');
      this.#git?.child.kill('SIGTERM');
      await Promise.all([this.#hub?.ended(30_000), this.#git?.ended()]);
      await expectNothingLeft(this.directory);
    } finally {
      await removeSockets(this.#hub?.stdout ?? '');
      await rm(this.directory, { recursive: true, force: true });
    }
  }

  private async serveRepository(): Promise<void> {
    const work = join(this.directory, 'work');
    const repositories = join(this.directory, 'git');
    await cp(join(FIXTURE, 'project'), work, { recursive: true });
    await mkdir(join(repositories, 'user'), { recursive: true });
    const script = `
      git init --quiet --initial-branch=main && git add . &&
      git -c user.name=t -c user.email=t@localhost commit --quiet -m project &&
      git clone --quiet --bare . "$0/user/repo"`;
    const made = await runCommand('sh', ['-c', script, repositories], { cwd: work, env: this.env });
    if (made.exitCode !== 0) throw new Error(made.stderr);
    const daemon = (await runCommand('git', ['--exec-path'])).stdout.trim();
    const options = ['--listen=127.0.0.1', '--export-all', `--base-path=${repositories}`, repositories];
    const [file, ...args] = this.network.enter(join(daemon, 'git-daemon'), ...options);
    this.#git = startCommand(file, args, { env: this.env });
  }
}

/** The document's blocks with the written edits made. */
export async function readSeed(): Promise<{ blocks: readonly CodeBlock[]; notes: Notes }> {
  const markdown = await readFile(join(FIXTURE, 'vm-agents-skill.md'), 'utf8');
  const notes = JSON.parse(await readFile(join(FIXTURE, 'edits.json'), 'utf8')) as Notes;
  return { blocks: edited(codeBlocks(markdown), notes.edits), notes };
}
