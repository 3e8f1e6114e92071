import { homedir } from 'node:os';
import { join, resolve } from 'node:path';

/** Where everything of one installation lives. All directories are 0700, secrets 0600. */
export interface HomePaths {
  readonly root: string;
  /** Settings, JSON; may be missing. */
  readonly configFile: string;
  /** Admin token of the hub, for the CLI of the same user. */
  readonly tokenFile: string;
  readonly dataDir: string;
  /** SQLite database. */
  readonly database: string;
  /** Segments of the output log. */
  readonly outputDir: string;
  /** hub-stdout.log and hub-stderr.log. */
  readonly logsDir: string;
  readonly imagesDir: string;
  /** The user's own profiles, NAME.json; may be missing. */
  readonly profilesDir: string;
  /** Everything of QEMU's machines. */
  readonly qemuDir: string;
  /** Disks with Node.js and the agent for virtual machines, by content. */
  readonly runtimeDisksDir: string;
  /** One directory a machine of the local provider. */
  readonly machinesDir: string;
  /** Held by the hub that runs on this home. */
  readonly lockFile: string;
}

/** The home: `VM_AGENT_HOME`, or `~/.openclaw/workspace/vm-agent-system`. */
export function resolveHome(env: NodeJS.ProcessEnv): string {
  const home = env.VM_AGENT_HOME;
  return home ? resolve(home) : join(homedir(), '.openclaw', 'workspace', 'vm-agent-system');
}

/** The places below a home. */
export function homePaths(root: string): HomePaths {
  return {
    root,
    configFile: join(root, 'config.json'),
    tokenFile: join(root, 'token'),
    dataDir: join(root, 'data'),
    database: join(root, 'data', 'hub.db'),
    outputDir: join(root, 'data', 'output'),
    logsDir: join(root, 'logs'),
    imagesDir: join(root, 'images'),
    profilesDir: join(root, 'profiles'),
    qemuDir: join(root, 'qemu'),
    runtimeDisksDir: join(root, 'runtime'),
    machinesDir: join(root, 'machines'),
    lockFile: join(root, 'data', 'hub.lock'),
  };
}
