import { readFileSync } from 'node:fs';
import { isErrno, messageOf } from '../src/base/errno.js';
import { formatAddress } from '../src/config/address.js';
import { homePaths, resolveHome } from '../src/config/home.js';
import { loadHubConfig } from '../src/config/hub-config.js';
import { UsageError } from './usage-error.js';

/** Where the hub is and how to show who asks. */
export interface HubSettings {
  readonly address: string;
  /** The token to send; the file of this user only to a hub that must be on this machine. */
  tokenFor(local: boolean): string | undefined;
}

/** Finds the hub: flag, then VM_AGENT_HUB, then the config file's `hub`, then this machine's own hub. */
export function hubSettings(env: NodeJS.ProcessEnv, flag?: string): HubSettings {
  const paths = homePaths(resolveHome(env));
  const address = flag || env.VM_AGENT_HUB || configuredHub(paths.configFile) || defaultAddress(env);
  return {
    address,
    tokenFor: (local) =>
      env.VM_AGENT_TOKEN || (local ? readIfThere(paths.tokenFile)?.trim() : undefined) || undefined,
  };
}

/** Where `vm-agent up` with the same settings would put it. */
function defaultAddress(env: NodeJS.ProcessEnv): string {
  return formatAddress(loadHubConfig({ flags: {}, env }).grpc);
}

function configuredHub(file: string): string | undefined {
  const text = readIfThere(file);
  if (text === undefined) return undefined;
  try {
    const { hub } = JSON.parse(text) as { readonly hub?: unknown };
    return typeof hub === 'string' ? hub : undefined;
  } catch (err) {
    throw new UsageError(`${file} is not valid JSON: ${messageOf(err)}`);
  }
}

function readIfThere(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch (err) {
    if (isErrno(err, 'ENOENT', 'ENOTDIR', 'EACCES')) return undefined;
    throw err;
  }
}
