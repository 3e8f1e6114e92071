import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { SourceMap } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

// Prints where the processor time of profiles went, that PROFILE=DIR has written there:
//   node --import tsx bench/support/profile.ts DIR

interface Profile {
  readonly nodes: readonly ProfileNode[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

interface ProfileNode {
  readonly id: number;
  readonly callFrame: Frame;
  readonly children?: readonly number[];
}

interface Frame {
  readonly functionName: string;
  readonly url: string;
  readonly lineNumber: number;
  readonly columnNumber: number;
}

type Times = Map<string, number>;

const ROWS = 40;
const IDLE = '(idle)';
const maps = new Map<string, SourceMap | undefined>();

function report({ nodes, samples, timeDeltas }: Profile): void {
  const own = new Map<number, number>();
  samples.forEach((id, at) => void own.set(id, (own.get(id) ?? 0) + (timeDeltas[at] ?? 0)));
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const times: Record<'files' | 'functions' | 'with callees', Times> = {
    files: new Map(),
    functions: new Map(),
    'with callees': new Map(),
  };
  const walk = (id: number, above: readonly string[]): number => {
    const node = byId.get(id);
    if (node === undefined) return 0;
    const { name, file } = placeOf(node.callFrame);
    const inside = [...above, name];
    const alone = own.get(id) ?? 0;
    const whole = (node.children ?? []).reduce((sum, child) => sum + walk(child, inside), alone);
    add(times.files, file, alone);
    add(times.functions, name, alone);
    if (!above.includes(name)) add(times['with callees'], name, whole);
    return whole;
  };
  const total = walk(nodes[0]?.id ?? 0, []);
  const busy = total - (times.functions.get(IDLE) ?? 0);
  console.log(`busy ${(busy / 1e6).toFixed(2)} s of ${(total / 1e6).toFixed(2)} s`);
  for (const [title, map] of Object.entries(times)) print(title, map, busy);
}

function add(map: Times, name: string, time: number): void {
  map.set(name, (map.get(name) ?? 0) + time);
}

function print(title: string, map: Times, busy: number): void {
  console.log(`\n${title}`);
  const rows = [...map].filter(([name]) => name !== IDLE).sort(([, a], [, b]) => b - a);
  for (const [name, time] of rows.slice(0, ROWS))
    console.log(`${((time * 100) / busy).toFixed(1).padStart(6)} %  ${name}`);
}

/** Where a function stands in the sources. */
function placeOf({ functionName, url, lineNumber, columnNumber }: Frame): { name: string; file: string } {
  if (url === '') return { name: functionName, file: functionName };
  const entry = mapOf(url)?.findEntry(lineNumber, columnNumber);
  const [source, line] =
    entry && 'originalSource' in entry ? [entry.originalSource, entry.originalLine] : [url, lineNumber];
  const file = source.replace(/^.*node_modules\//, '').replace(/^(\.\.\/|file:\/\/)+/, '');
  return { name: `${functionName || '(anonymous)'} ${file}:${line + 1}`, file };
}

function mapOf(url: string): SourceMap | undefined {
  if (!url.startsWith('file:')) return undefined;
  if (!maps.has(url)) {
    const path = `${fileURLToPath(url)}.map`;
    maps.set(url, existsSync(path) ? new SourceMap(JSON.parse(readFileSync(path, 'utf8'))) : undefined);
  }
  return maps.get(url);
}

const [dir = '.'] = process.argv.slice(2);
for (const file of readdirSync(dir).filter((name) => name.endsWith('.cpuprofile'))) {
  console.log(`\n${file}`);
  report(JSON.parse(readFileSync(join(dir, file), 'utf8')) as Profile);
}
