import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, posix } from 'node:path';

/** Sources by their path from the repository's root, with `/`. */
export type SourceTree = ReadonlyMap<string, string>;

/** What a layer may import besides itself: layers, packages, and single files of other layers (its ports). */
interface LayerRule {
  readonly layers: readonly string[];
  readonly files?: readonly string[];
}

const HUB_PORTS = ['api', 'machines', 'output-log', 'protocol', 'store'].map((name) => `src/hub/${name}.ts`);
const VM_PORTS = ['api', 'machine-events', 'provider', 'vm-records'].map((name) => `src/vm/${name}.ts`);
const PORTS = [...HUB_PORTS, ...VM_PORTS];
const EVERYTHING = ['*'];

/** The map of docs/ARCHITECTURE.md. The longest matching folder is a file's layer. */
export const LAYERS: Readonly<Record<string, LayerRule>> = {
  'src/base': { layers: [] },
  'src/model': { layers: ['src/base'] },
  'src/config': { layers: ['src/base', 'src/model'] },
  'src/security': { layers: ['src/base', 'src/model'] },
  'src/hub': { layers: ['src/base', 'src/model'] },
  'src/vm': { layers: ['src/base', 'src/model'] },
  'src/agent': { layers: ['src/base', 'src/model'] },
  'src/wire': { layers: ['src/base', 'src/model', 'gen'], files: PORTS },
  'src/store': { layers: ['src/base', 'src/model'], files: PORTS },
  'src/vm/providers': { layers: ['src/base', 'src/model', 'src/vm'] },
  'src/agent/link': { layers: ['src/base', 'src/model', 'src/agent', 'src/wire', 'gen'] },
  'src/rpc': { layers: ['src/base', 'src/model', 'src/wire', 'src/security', 'gen'], files: PORTS },
  'src/client': { layers: ['src/base', 'src/model', 'src/wire', 'gen'] },
  'src/bridge': {
    layers: ['src/base', 'src/model', 'src/wire', 'src/security', 'src/rpc', 'src/client', 'gen'],
  },
  'src/dashboard': { layers: ['src/base', 'src/model', 'src/security', 'src/rpc', 'src/client'] },
  'src/app': { layers: EVERYTHING },
  cli: { layers: EVERYTHING },
  gen: { layers: EVERYTHING },
};

/** Layers that may see generated code. */
const SEES_GEN = ['src/wire', 'src/rpc', 'src/client', 'src/bridge', 'src/agent/link'];
/** Layers that may touch the process that they run in. */
const OWNS_PROCESS = ['src/app', 'cli'];

const IMPORT = /(?:^|[\n;}])\s*(?:import|export)\s+(?:[\w*{}\s,$]+?\s+from\s+)?(['"])([^'"\n]+)\1/g;
const DYNAMIC_IMPORT = /\b(?:import|require|require\.resolve)\(\s*(['"])([^'"\n]+)\1/g;
const CHILD_PROCESS = /^(node:)?child_process$/;
const TYPES_OF_CHILDREN = /import type [^;]*?from 'node:child_process';/g;
const COMMENT = /\/\*[\s\S]*?\*\/|(^|[^:'"`\\])\/\/[^\n]*/g;

/** Reads all TypeScript files below these folders of a repository. */
export function readTree(root: string, folders: readonly string[]): SourceTree {
  const tree = new Map<string, string>();
  for (const folder of folders) {
    for (const name of readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })) {
      if (!/\.tsx?$/.test(name)) continue;
      tree.set(
        posix.join(folder, name.split('\\').join('/')),
        readFileSync(join(root, folder, name), 'utf8'),
      );
    }
  }
  return tree;
}

/** The layer of a file: the longest folder of {@link LAYERS} that holds it. */
export function layerOf(file: string): string | undefined {
  return Object.keys(LAYERS)
    .filter((layer) => file.startsWith(`${layer}/`))
    .sort((a, b) => b.length - a.length)[0];
}

/** Source without comments. */
function withoutComments(source: string): string {
  return source.replace(COMMENT, '$1');
}

/** What a file imports: paths of the repository, or names of packages. */
export function importsOf(file: string, source: string): readonly string[] {
  // Types of child processes start none.
  const code = withoutComments(source).replace(TYPES_OF_CHILDREN, '');
  const found = [...code.matchAll(IMPORT), ...code.matchAll(DYNAMIC_IMPORT)].map((match) => match[2] ?? '');
  return [...new Set(found.map((target) => resolveImport(file, target)))];
}

function resolveImport(file: string, target: string): string {
  if (!target.startsWith('.')) return target;
  return posix
    .join(dirname(file), target)
    .replace(/\.js$/, '.ts')
    .replace(/\.jsx$/, '.tsx');
}

/** Everything in a tree that the map does not allow, one sentence each; empty when all is well. */
export function violationsOf(tree: SourceTree): readonly string[] {
  const found: string[] = [];
  for (const [file, source] of tree) {
    found.push(...edgeViolations(file, source), ...wordViolations(file, source));
  }
  return [...found, ...cyclesOf(tree).map((cycle) => `import cycle: ${cycle.join(' -> ')}`)];
}

function edgeViolations(file: string, source: string): string[] {
  const layer = layerOf(file);
  if (layer === undefined) return [`${file} belongs to no layer`];
  const rule = LAYERS[layer];
  if (rule === undefined) return [];
  return importsOf(file, source)
    .filter((target) => !allows(layer, rule, target))
    .map((target) => `${file} must not import ${target}`);
}

function allows(layer: string, rule: LayerRule, target: string): boolean {
  const targetLayer = layerOf(target);
  if (targetLayer === 'gen') return SEES_GEN.includes(layer);
  if (targetLayer !== undefined) {
    if (targetLayer === layer || rule.layers === EVERYTHING) return true;
    return rule.layers.includes(targetLayer) || (rule.files ?? []).includes(target);
  }
  if (/^express(\/|$)/.test(target)) return layer === 'src/bridge' || layer === 'src/dashboard';
  if (CHILD_PROCESS.test(target)) return layer === 'src/base';
  if (/^(node:)?(process|console)$/.test(target)) return OWNS_PROCESS.includes(layer);
  if (/^(src|cli|test|bench|gen)\//.test(target)) return false;
  return true;
}

function wordViolations(file: string, source: string): string[] {
  const layer = layerOf(file) ?? '';
  const code = withoutComments(source);
  const found: string[] = [];
  if (/(^|\n)\s*export\s+default\b|\bas\s+default\b/.test(code)) found.push(`${file} has a default export`);
  const spawns = importsOf(file, source).some((target) => CHILD_PROCESS.test(target));
  if (spawns && file !== 'src/base/process.ts') {
    found.push(`${file} starts processes; only src/base/process.ts may`);
  }
  if (OWNS_PROCESS.includes(layer)) return found;
  const word = /\bprocess\s*(?:\.|\?\.|\[\s*['"])\s*(?:env|exit)\b|(?<![.\w/'"`])console\s*[.[]/.exec(code);
  // The page of the dashboard runs in a browser, where `console` is nobody's output.
  if (word !== null && !file.startsWith('src/dashboard/web/')) found.push(`${file} uses ${word[0]}`);
  return found;
}

/** Import cycles between files, each once, as the path around it. */
function cyclesOf(tree: SourceTree): readonly string[][] {
  const cycles: string[][] = [];
  const done = new Set<string>();
  const visit = (file: string, path: readonly string[]): void => {
    const at = path.indexOf(file);
    if (at >= 0) {
      cycles.push([...path.slice(at), file]);
      return;
    }
    if (done.has(file)) return;
    for (const target of importsOf(file, tree.get(file) ?? '')) {
      if (tree.has(target)) visit(target, [...path, file]);
    }
    done.add(file);
  };
  for (const file of tree.keys()) visit(file, []);
  return cycles;
}
