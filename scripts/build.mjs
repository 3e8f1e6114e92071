// Builds dist/ with esbuild: the CLI with the hub inside (split, so that a
// command loads only what it needs), and the agent as one file.
//
//   node scripts/build.mjs              builds
//   node scripts/build.mjs --if-needed  builds unless dist/ is newer than the sources
import { cpSync, existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const stamp = join(root, 'dist', '.built');
const sources = ['src', 'cli', 'gen', 'scripts/build.mjs', 'package.json', 'package-lock.json'];

// Native modules and those that read files beside themselves stay packages.
const external = [
  '@photostructure/sqlite',
  '@lydell/node-pty',
  '@grpc/grpc-js-xds',
  '@grpc/proto-loader',
  '@grpc/reflection',
];

// CommonJS packages inside an ES module still call `require` for Node's own modules.
const requireBanner =
  "import { createRequire as __createRequire } from 'node:module';\n" +
  "import { dirname as __pathDirname } from 'node:path';\n" +
  "import { fileURLToPath as __fileURLToPath } from 'node:url';\n" +
  'const require = __createRequire(import.meta.url);\n' +
  'const __filename = __fileURLToPath(import.meta.url);\n' +
  'const __dirname = __pathDirname(__filename);';

const shared = {
  absWorkingDir: root,
  bundle: true,
  platform: 'node',
  target: 'node20',
  format: 'esm',
  sourcemap: true,
  legalComments: 'none',
  logLevel: 'warning',
  banner: { js: requireBanner },
};

function newestChange(path) {
  const stat = statSync(path);
  if (!stat.isDirectory()) return stat.mtimeMs;
  const inside = readdirSync(path).map((name) => newestChange(join(path, name)));
  return Math.max(stat.mtimeMs, ...inside);
}

function upToDate() {
  if (!existsSync(stamp)) return false;
  const built = statSync(stamp).mtimeMs;
  return sources.every((path) => newestChange(join(root, path)) <= built);
}

/** The page of the dashboard needs no building: it is copied. */
function copyDashboard() {
  cpSync(join(root, 'src', 'dashboard', 'web'), join(root, 'dist', 'dashboard'), { recursive: true });
}

async function buildAll() {
  for (const part of ['cli', 'client', 'chunks', 'agent', 'dashboard']) {
    rmSync(join(root, 'dist', part), { recursive: true, force: true });
  }
  const startedMs = Date.now();
  const cli = build({
    ...shared,
    entryPoints: { 'cli/main': 'cli/main.ts', 'client/index': 'src/client/index.ts' },
    outdir: 'dist',
    chunkNames: 'chunks/[name]-[hash]',
    splitting: true,
    external,
  });
  const agent = build({
    ...shared,
    entryPoints: ['src/app/agent-main.ts'],
    outfile: 'dist/agent/agent.mjs',
    external: ['@lydell/node-pty'],
  });
  await Promise.all([cli, agent]);
  copyDashboard();
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  writeFileSync(stamp, `${version}\n`);
  process.stderr.write(`built dist/ in ${((Date.now() - startedMs) / 1000).toFixed(1)} s\n`);
}

if (!process.argv.includes('--if-needed') || !upToDate()) {
  // esbuild has said what is wrong.
  await buildAll().catch(() => {
    process.exitCode = 1;
  });
}
