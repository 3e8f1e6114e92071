/** What was found about one thing. */
export interface Check {
  /** Groups belong together when shown. */
  readonly group: 'this program' | 'machines' | 'virtual machines' | 'home';
  readonly name: string;
  /** `bad` keeps the main job from working; `warn` takes something away. */
  readonly status: 'ok' | 'warn' | 'bad';
  /** What is there, or what is missing and why it matters. */
  readonly detail: string;
  /** The command, or the deed, that mends it; absent when there is nothing to mend. */
  readonly fix?: string;
}

/** What {@link diagnose} answers. */
export interface Diagnosis {
  /** Whether the main job works: a hub can run here and make machines. */
  readonly works: boolean;
  readonly checks: readonly Check[];
}
