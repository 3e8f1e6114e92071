/** What a new machine is furnished with. Its form in files is that of the first system. */
export interface Profile {
  readonly name: string;
  readonly description: string;
  /** Resources for which nothing else is asked, as people write them. */
  readonly resources: { readonly cpu?: number; readonly memory?: string; readonly disk?: string };
  /** Environment of every task and shell, taken as it is written. */
  readonly environment: Readonly<Record<string, string>>;
  readonly files: readonly ProfileFile[];
  /** Names of Debian packages. */
  readonly packages: readonly string[];
  readonly repositories: readonly ProfileRepository[];
  readonly setupTasks: readonly SetupTask[];
}

export interface ProfileFile {
  /** Absolute, or `~/…` in the home of tasks. */
  readonly path: string;
  readonly content: string;
}

export interface ProfileRepository {
  readonly url: string;
  readonly destination?: string;
  readonly branch?: string;
}

export interface SetupTask {
  readonly command: string;
  readonly description: string;
}

/** A profile that is there; one with a `problem` cannot be used. */
export interface ProfileInfo {
  readonly name: string;
  readonly builtIn: boolean;
  readonly found: { readonly profile: Profile } | { readonly problem: string };
}
