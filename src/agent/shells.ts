import { runDetached } from '../base/detached.js';
import { messageOf } from '../base/errno.js';
import { freshId } from '../base/fresh-id.js';
import type { Logger } from '../base/logger.js';
import type { ShellOpen } from '../model/agent-protocol.js';
import type { Outbox } from './outbox.js';
import { RUN_MARK } from './proc-tree.js';
import { openPty } from './pty.js';
import { openScriptTerminal } from './script-terminal.js';
import type { Session } from './session.js';
import { environmentOf, type TaskUser } from './task-user.js';
import type { Terminal, TerminalRequest } from './terminal.js';

const MAX_SHELLS = 32;
const MAX_MESSAGE_CHARACTERS = 512;

/** What {@link Shells} needs. */
export interface ShellsOptions {
  readonly home: string;
  readonly baseEnv: Readonly<Record<string, string>>;
  /** Whose shells they are. Default: this process's user. */
  readonly user?: TaskUser;
  /** Begins the mark of every shell. */
  readonly markPrefix: string;
  readonly outbox: Outbox;
  readonly log: Logger;
}

/** The terminals that the hub asked for. They end with their stream. */
export class Shells {
  private readonly open = new Set<Terminal>();

  constructor(private readonly options: ShellsOptions) {}

  /** Opens a terminal and gives it to the session, or tells the hub why not. */
  start(session: Session, shell: string, open: ShellOpen): void {
    runDetached(this.options.log, 'shell', async () => {
      try {
        this.attach(session, shell, await this.terminal(open));
      } catch (err) {
        const message = messageOf(err).slice(0, MAX_MESSAGE_CHARACTERS);
        this.options.outbox.push({ type: 'shellRefused', shell, message });
      }
    });
  }

  /** Ends all. */
  close(): void {
    for (const terminal of this.open) terminal.kill();
  }

  private attach(session: Session, shell: string, terminal: Terminal): void {
    this.open.add(terminal);
    void terminal.exited.finally(() => this.open.delete(terminal));
    session.attachShell(shell, terminal);
  }

  private async terminal(open: ShellOpen): Promise<Terminal> {
    if (this.open.size >= MAX_SHELLS) throw new Error(`this agent already has ${MAX_SHELLS} shells`);
    const { home, user, markPrefix } = this.options;
    const baseEnv = user === undefined ? this.options.baseEnv : environmentOf(user);
    const mark = `${markPrefix}shell-${freshId()};`;
    const argv = open.argv.length > 0 ? open.argv : [baseEnv.SHELL ?? '/bin/sh', '-l'];
    const env = { ...baseEnv, ...open.env, HOME: home, TERM: open.term, [RUN_MARK]: mark };
    const whose = user === undefined ? {} : { user };
    const request: TerminalRequest = { ...open, argv, cwd: home, env, mark, ...whose };
    return (await openPty(request)) ?? (await openScriptTerminal(request));
  }
}
