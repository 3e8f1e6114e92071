import { readFileSync } from 'node:fs';

/** A user that tasks run as. */
export interface TaskUser {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly home: string;
  readonly shell: string;
}

const PASSWD = '/etc/passwd';
const ENVIRONMENT = '/etc/environment';
/** Where programs are, as a login has it. */
const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** Finds a user of this machine; undefined when there is none of this name. */
export function findTaskUser(
  name: string,
  passwd: string = readFileSync(PASSWD, 'utf8'),
): TaskUser | undefined {
  const fields = passwd
    .split('\n')
    .map((line) => line.split(':'))
    .find(([found, ...more]) => found === name && more.length === 6);
  if (fields === undefined) return undefined;
  const [, , uid, gid, , home = '/', shell = ''] = fields;
  return { name, uid: Number(uid), gid: Number(gid), home, shell: shell === '' ? '/bin/sh' : shell };
}

/** The command line that runs another one as this user, with all groups that it is in now; the caller is root. */
export function asUser(user: TaskUser | undefined, argv: readonly string[]): readonly string[] {
  if (user === undefined) return argv;
  return ['setpriv', `--reuid=${user.uid}`, `--regid=${user.gid}`, '--init-groups', '--', ...argv];
}

/**
 * The environment that a login of this user has: nothing of the agent's own, what the machine says for everybody
 * (/etc/environment), and the user's names.
 */
export function environmentOf(user: TaskUser): Record<string, string> {
  const { name, home, shell } = user;
  const machine = ofMachine();
  // Where pip and others put programs of one user, as Debian's profile has it.
  const path = `${home}/.local/bin:${machine.PATH ?? PATH}`;
  return { LANG: 'C.UTF-8', ...machine, PATH: path, HOME: home, USER: name, LOGNAME: name, SHELL: shell };
}

/** Lines `KEY=VALUE`, the value perhaps in quotes, as PAM reads them. */
function ofMachine(): Record<string, string> {
  let text: string;
  try {
    text = readFileSync(ENVIRONMENT, 'utf8');
  } catch {
    return {};
  }
  const lines = text.matchAll(/^\s*(?:export\s+)?([A-Za-z_]\w*)=(.*?)\s*$/gm);
  return Object.fromEntries([...lines].map(([, key = '', value = '']) => [key, unquoted(value)]));
}

function unquoted(value: string): string {
  return /^(["'])(.*)\1$/.exec(value)?.[2] ?? value;
}
