import type { Usage } from 'clipanion';

/** An option as clipanion knows it. */
export interface HelpOption {
  readonly names: readonly string[];
  readonly description?: string | undefined;
  readonly arity: number;
  readonly hidden: boolean;
}

/** What the help of one command is made of. */
export interface CommandHelp {
  /** Such as `create <name> [options]`. */
  readonly synopsis: string;
  readonly usage: Usage;
  readonly options: readonly HelpOption[];
}

/** The help of one command. An option's description may begin with the name of its value, such as `<n>`. */
export function commandHelp({ synopsis, usage, options }: CommandHelp): string {
  const parts = [`${usage.description ?? ''}\n`, `Usage\n  vm-agent ${synopsis}\n`];
  if (usage.details) parts.push(`${usage.details.trim()}\n`);
  const lines = options.filter((option) => !option.hidden).map(optionLine);
  if (lines.length > 0) parts.push(`Options\n${lines.join('')}`);
  const examples = (usage.examples ?? []).map(([, command]) => `  ${command.replace('$0', 'vm-agent')}\n`);
  if (examples.length > 0) parts.push(`Examples\n${examples.join('')}`);
  return parts.join('\n');
}

function optionLine({ names, description = '', arity }: HelpOption): string {
  const [, value = '<value>', text = ''] = /^(?:(<[^>]+>)\s*)?(.*)$/s.exec(description) ?? [];
  const sorted = [...names].sort((a, b) => a.length - b.length).join(', ');
  const left = arity > 0 ? `${sorted} ${value}` : sorted;
  return left.length > 26 ? `  ${left}\n${' '.repeat(30)}${text}\n` : `  ${left.padEnd(28)}${text}\n`;
}
