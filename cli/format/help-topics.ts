const EXIT_CODES = `Exit codes
  0    done
  1    the operation failed
  2    wrong usage or a bad value
  3    no such agent, task, snapshot or provider
  4    not authenticated or not allowed
  65   stored data is damaged or of a newer version
  69   the hub cannot be reached
  74   hub: its home or disk cannot be used
  130  ended by Ctrl-C (128 + n: by signal n)

exec, shell and task --wait answer the exit code of the remote command, and
  124  it ran into its time limit
  125  it could not be run, or its end is not known
  126  it is not executable
  127  it was not found
  128 + n  signal n ended it
`;

const TOPICS = new Map([['exit-codes', EXIT_CODES]]);

/** A help text that belongs to no command. */
export function helpTopic(name: string): string | undefined {
  return TOPICS.get(name);
}
