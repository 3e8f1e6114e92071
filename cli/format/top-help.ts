import type { CommandEntry } from '../commands/table.js';

const EXAMPLES = `Examples
  vm-agent up
  vm-agent create dev
  vm-agent exec dev -- npm test
`;

/** The help of the whole program. */
export function topLevelHelp(commands: readonly CommandEntry[]): string {
  const groups = [...new Set(commands.map((command) => command.group))];
  const sections = groups.map((group) => section(group, commands));
  return `vm-agent: run work in machines that can be thrown away

Usage
  vm-agent <command> [options]

${sections.join('\n')}
${EXAMPLES}
Options of every command: --hub ADDRESS  --json  --debug  -h, --help
More: vm-agent help <command>  ·  vm-agent help exit-codes
`;
}

/** The help of commands that share their first word. */
export function groupHelp(group: string, commands: readonly CommandEntry[]): string {
  const rows = commands.filter(({ name }) => name.startsWith(`${group} `));
  return `Usage
  vm-agent ${group} <command> [options]

Commands
${rows.map(line).join('')}
More: vm-agent help ${group} <command>
`;
}

function section(group: string, commands: readonly CommandEntry[]): string {
  const rows = commands.filter((command) => command.group === group);
  return `${group}\n${[...new Set(rows.map((row) => shortLine(row, rows)))].join('')}`;
}

/** Commands that share their first word share a line. */
function shortLine(row: CommandEntry, rows: readonly CommandEntry[]): string {
  const [first = '', second] = row.name.split(' ');
  if (second === undefined) return line(row);
  const words = rows.flatMap(({ name }) => (name.startsWith(`${first} `) ? [name.split(' ')[1]] : []));
  return `  ${first.padEnd(14)}${words.join(', ')}\n`;
}

function line({ name, alias, summary }: CommandEntry): string {
  const names = alias ? `${name}, ${alias}` : name;
  return `  ${names.padEnd(14)}${summary}\n`;
}
