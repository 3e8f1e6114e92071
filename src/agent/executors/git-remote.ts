import { TaskFailure } from './executor.js';

/** Where a repository is, with its credentials apart. */
export interface GitRemote {
  /** Address without user and password of http and https; safe in argv, logs and answers. */
  readonly url: string;
  readonly username?: string;
  readonly password?: string;
}

/**
 * Takes the credentials out of an address.
 *
 * @throws TaskFailure INVALID_ARGUMENT for one that git could read as an option or as a command.
 */
export function parseGitRemote(address: string): GitRemote {
  if (address === '' || address.startsWith('-'))
    throw new TaskFailure('INVALID_ARGUMENT', 'repo: must not be empty nor begin with "-"');
  if (/^[A-Za-z0-9]+::/.test(address))
    throw new TaskFailure('INVALID_ARGUMENT', 'repo: addresses with "::" run programs and are not allowed');
  if (!/^https?:\/\//i.test(address)) return { url: address };
  return withoutCredentials(address);
}

function withoutCredentials(address: string): GitRemote {
  if (!URL.canParse(address)) throw new TaskFailure('INVALID_ARGUMENT', 'repo: is not a valid address');
  const url = new URL(address);
  const [username, password] = [decodeURIComponent(url.username), decodeURIComponent(url.password)];
  if (username === '' && password === '') return { url: address };
  url.username = '';
  url.password = '';
  return { url: url.href, username, password };
}

/** The directory name that git itself would choose. */
export function repositoryName(address: string): string {
  const path = address
    .replace(/[?#].*$/, '')
    .replace(/\/+$/, '')
    .replace(/\/\.git$/, '');
  const name =
    path
      .split(/[/:]/)
      .pop()
      ?.replace(/\.git$/, '') ?? '';
  if (name === '' || name === '.' || name === '..')
    throw new TaskFailure('INVALID_ARGUMENT', 'destination: is required, the address has no name in it');
  return name;
}
