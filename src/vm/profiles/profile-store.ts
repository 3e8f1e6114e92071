import { open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { isErrno, messageOf } from '../../base/errno.js';
import { HubError } from '../../model/hub-error.js';
import { isName } from '../../model/names.js';
import type { Profile, ProfileInfo } from '../../model/profile.js';
import { parseProfile } from './profile-schema.js';

const MAX_FILE_BYTES = 4 * 1024 * 1024;
/** Files of one directory that are looked at. */
const MAX_FILES = 1_000;

/** Options of {@link ProfileStore}. */
export interface ProfileStoreOptions {
  /** Those that come with the hub. */
  readonly builtInDir: string;
  /** The user's own; it may be missing. One of them wins over a built-in one of its name. */
  readonly userDir: string;
}

/** Profiles in files `NAME.json`, read anew each time. */
export class ProfileStore {
  constructor(private readonly options: ProfileStoreOptions) {}

  /** By name. A file that is no profile is there with its problem. */
  async list(): Promise<readonly ProfileInfo[]> {
    const { builtInDir, userDir } = this.options;
    const infos = new Map<string, ProfileInfo>();
    for (const [dir, builtIn] of [[builtInDir, true] as const, [userDir, false] as const]) {
      for (const name of await namesIn(dir)) {
        const found = await readProfile(dir, name).then(
          (profile) => ({ profile }),
          (err: unknown) => ({ problem: messageOf(err) }),
        );
        infos.set(name, { name, builtIn, found });
      }
    }
    return [...infos.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** @throws HubError INVALID_FIELD (`profile`) naming those that there are, or what is wrong with its file. */
  async find(name: string): Promise<Profile> {
    const infos = await this.list();
    const info = infos.find((item) => item.name === name);
    if (info && 'profile' in info.found) return info.found.profile;
    const description =
      info && 'problem' in info.found
        ? info.found.problem
        : `one of ${infos.map((item) => item.name).join(', ')}, or a file NAME.json of yours in ${this.options.userDir}`;
    throw HubError.invalid({ field: 'profile', description });
  }
}

async function namesIn(dir: string): Promise<readonly string[]> {
  try {
    const files = (await readdir(dir)).filter((file) => file.endsWith('.json')).sort();
    return files
      .map((file) => file.slice(0, -'.json'.length))
      .filter(isName)
      .slice(0, MAX_FILES);
  } catch (err) {
    if (isErrno(err, 'ENOENT', 'ENOTDIR')) return [];
    throw err;
  }
}

async function readProfile(dir: string, name: string): Promise<Profile> {
  const file = join(dir, `${name}.json`);
  try {
    return parseProfile(JSON.parse(await readAtMost(file)), name);
  } catch (err) {
    throw new HubError('INVALID_FIELD', `${file}: ${messageOf(err)}`, { cause: err });
  }
}

async function readAtMost(file: string): Promise<string> {
  const handle = await open(file, 'r');
  try {
    const { size } = await handle.stat();
    if (size > MAX_FILE_BYTES) throw new Error(`it is larger than ${MAX_FILE_BYTES} bytes`);
    return await handle.readFile('utf8');
  } finally {
    await handle.close();
  }
}
