import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

interface Profile {
  readonly nodes: readonly ProfileNode[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

interface ProfileNode {
  readonly id: number;
  readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
  readonly children?: readonly number[];
}

const ROWS = 45;

/** Prints where the processor time of a V8 profile went: by function, alone and with what it called. */
function report(profile: Profile): void {
  const self = new Map<number, number>();
  profile.samples.forEach((id, at) => {
    self.set(id, (self.get(id) ?? 0) + (profile.timeDeltas[at] ?? 0));
  });
  const byId = new Map(profile.nodes.map((node) => [node.id, node]));
  const [alone, whole] = [new Map<string, number>(), new Map<string, number>()];
  const add = (map: Map<string, number>, name: string, time: number) =>
    map.set(name, (map.get(name) ?? 0) + time);
  const walk = (id: number, above: readonly string[]): number => {
    const node = byId.get(id);
    if (node === undefined) return 0;
    const name = nameOf(node);
    const own = self.get(id) ?? 0;
    const inside = [...above, name];
    const total = (node.children ?? []).reduce((sum, child) => sum + walk(child, inside), own);
    add(alone, name, own);
    if (!above.includes(name)) add(whole, name, total);
    return total;
  };
  const root = profile.nodes[0];
  const total = root ? walk(root.id, []) : 0;
  const busy = total - (alone.get('(idle)') ?? 0);
  console.log(`busy ${(busy / 1e6).toFixed(2)} s of ${(total / 1e6).toFixed(2)} s`);
  for (const [title, map] of [
    ['alone', alone],
    ['with callees', whole],
  ] as const) {
    console.log(`\n${title}`);
    const rows = [...map].filter(([name]) => name !== '(idle)').sort(([, a], [, b]) => b - a);
    for (const [name, time] of rows.slice(0, ROWS))
      console.log(`${((time * 100) / busy).toFixed(1).padStart(6)} %  ${name}`);
  }
}

function nameOf({ callFrame: { functionName, url, lineNumber } }: ProfileNode): string {
  const file = url.replace(/^.*\/node_modules\//, '').replace(/^.*\/(dist|node:)/, '$1');
  return `${functionName || '(anonymous)'} ${file}:${lineNumber + 1}`.replace(/ :0$/, '');
}

/** `node --import tsx bench/support/profile.ts DIRECTORY` */
const [dir = '.'] = process.argv.slice(2);
const files = readdirSync(dir).filter((name) => name.endsWith('.cpuprofile'));
for (const file of files) {
  console.log(`\n${file}`);
  report(JSON.parse(readFileSync(join(dir, file), 'utf8')) as Profile);
}
