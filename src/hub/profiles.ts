import type { Profile } from '../model/profile.js';

/** Where the hub finds what machines are furnished with. */
export interface Profiles {
  /** @throws HubError INVALID_FIELD (`profile`) naming those that there are, or what is wrong with its file. */
  find(name: string): Promise<Profile>;
}
