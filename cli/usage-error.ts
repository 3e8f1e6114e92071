/** The command line was wrong: exit code 2, with a hint to the help. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}
