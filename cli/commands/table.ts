import type { CommandClass } from 'clipanion';
import type { CliContext } from '../context.js';

/** A command that can be loaded. */
export interface CommandEntry {
  readonly name: string;
  readonly alias?: string;
  readonly group: 'Get started' | 'Agents' | 'Tasks' | 'System';
  readonly summary: string;
  /** Loads the class; only the chosen command is loaded. */
  readonly load: () => Promise<CommandClass<CliContext>>;
}

/** All commands, in the order in which help shows them. */
export const COMMANDS: readonly CommandEntry[] = [
  entry(
    'Get started',
    'up',
    'start the hub in the background',
    async () => (await import('./up.js')).UpCommand,
  ),
  entry('Get started', 'down', 'stop the hub', async () => (await import('./down.js')).DownCommand),
  entry(
    'Get started',
    'create',
    'make a machine that becomes an agent',
    async () => (await import('./create.js')).CreateCommand,
  ),
  entry(
    'Get started',
    'exec',
    'run a command in an agent',
    async () => (await import('./exec.js')).ExecCommand,
  ),
  {
    ...entry('Agents', 'list', 'list agents', async () => (await import('./list.js')).ListCommand),
    alias: 'ls',
  },
  entry('Agents', 'status', 'show one agent', async () => (await import('./status.js')).StatusCommand),
  entry('Agents', 'logs', 'show what tasks wrote', async () => (await import('./logs.js')).LogsCommand),
  entry(
    'Agents',
    'shell',
    'open a terminal in an agent',
    async () => (await import('./shell.js')).ShellCommand,
  ),
  entry('Agents', 'start', 'start a stopped machine', async () => (await import('./start.js')).StartCommand),
  entry(
    'Agents',
    'stop',
    'stop a machine and keep its disk',
    async () => (await import('./stop.js')).StopCommand,
  ),
  entry(
    'Agents',
    'restart',
    'stop and start a machine',
    async () => (await import('./restart.js')).RestartCommand,
  ),
  entry(
    'Agents',
    'resize',
    'give a machine other resources',
    async () => (await import('./resize.js')).ResizeCommand,
  ),
  entry(
    'Agents',
    'keep-alive',
    'hold off the end of a machine',
    async () => (await import('./keep-alive.js')).KeepAliveCommand,
  ),
  entry(
    'Agents',
    'snapshot',
    'save the state of a machine, or delete one',
    async () => (await import('./snapshot.js')).SnapshotCommand,
  ),
  entry(
    'Agents',
    'snapshots',
    'list saved states',
    async () => (await import('./snapshots.js')).SnapshotsCommand,
  ),
  entry(
    'Agents',
    'restore',
    'take a machine back to a snapshot',
    async () => (await import('./restore.js')).RestoreCommand,
  ),
  {
    ...entry(
      'Agents',
      'destroy',
      'remove an agent and its machine',
      async () => (await import('./destroy.js')).DestroyCommand,
    ),
    alias: 'rm',
  },
  entry('Tasks', 'task', 'hand in a task as JSON', async () => (await import('./task.js')).TaskCommand),
  entry('Tasks', 'tasks', 'list tasks', async () => (await import('./tasks.js')).TasksCommand),
  entry('Tasks', 'cancel', 'cancel a task', async () => (await import('./cancel.js')).CancelCommand),
  entry('System', 'hub', 'run the hub in the foreground', async () => (await import('./hub.js')).HubCommand),
  entry(
    'System',
    'gateway',
    'serve any gRPC server over HTTP and JSON',
    async () => (await import('./gateway.js')).GatewayCommand,
  ),
  entry(
    'System',
    'providers',
    'list kinds of machines',
    async () => (await import('./providers.js')).ProvidersCommand,
  ),
  entry(
    'System',
    'profiles',
    'list what machines can be furnished with',
    async () => (await import('./profiles.js')).ProfilesCommand,
  ),
  entry(
    'System',
    'doctor',
    'say what is missing on this host',
    async () => (await import('./doctor.js')).DoctorCommand,
  ),
  entry(
    'System',
    'events',
    'show what happens as it happens',
    async () => (await import('./events.js')).EventsCommand,
  ),
  entry(
    'System',
    'image build',
    "make a disk image from Debian's packages",
    async () => (await import('./image-build.js')).ImageBuildCommand,
  ),
  entry(
    'System',
    'image import',
    'take in a cloud image',
    async () => (await import('./image-import.js')).ImageImportCommand,
  ),
  entry(
    'System',
    'image list',
    'list disk images',
    async () => (await import('./image-list.js')).ImageListCommand,
  ),
  entry(
    'System',
    'image remove',
    'remove a disk image',
    async () => (await import('./image-remove.js')).ImageRemoveCommand,
  ),
  entry('System', 'version', 'show the version', async () => (await import('./version.js')).VersionCommand),
];

/** The command with this name or alias. */
export function findCommand(name: string): CommandEntry | undefined {
  return COMMANDS.find((command) => command.name === name || command.alias === name);
}

/** Whether a word is the first of several commands with two words. */
export function isGroup(word: string): boolean {
  return COMMANDS.some((command) => command.name.startsWith(`${word} `));
}

/** All names and aliases. */
export function commandNames(): string[] {
  return [
    'help',
    ...COMMANDS.flatMap((command) => [command.name, ...(command.alias ? [command.alias] : [])]),
  ];
}

function entry(
  group: CommandEntry['group'],
  name: string,
  summary: string,
  load: CommandEntry['load'],
): CommandEntry {
  return { group, name, summary, load };
}
