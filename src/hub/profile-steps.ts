import type { Profile, ProfileFile } from '../model/profile.js';
import type { TaskSpec } from '../model/task.js';
import type { StageName } from '../model/vm.js';

/** One task of furnishing a machine. */
export interface ProfileStep {
  readonly stage: StageName;
  /** What it does, for people. */
  readonly label: string;
  readonly spec: TaskSpec;
}

/** How long one step may take: packages over a slow line, in an emulated machine. */
const STEP_MS = 1_800_000;
const BASE = { env: {}, secrets: {}, timeoutMs: STEP_MS, sudo: false } as const;
/** Places in which tasks of an ordinary user may write. */
const OWN_PLACES = ['/opt/', '/srv/', '/tmp/', '/var/tmp/', '/home/'];

const MISSING = `missing=
for name in "$@"; do
  case "$(dpkg-query -W -f '\${Status}' -- "$name" 2>/dev/null)" in
  *"ok installed"*) ;;
  *) missing="$missing $name" ;;
  esac
done
`;
const CHECK = `${MISSING}echo $missing
`;
const INSTALL = `${MISSING}apt-get update || exit
exec apt-get -o DPkg::Lock::Timeout=120 install -y --no-install-recommends -- $missing
`;

/** Writes the names of the packages that are not installed. */
export function packageCheck({ packages }: Profile): ProfileStep {
  const run = { argv: ['/bin/sh', '-c', CHECK, 'packages', ...packages] };
  return step('packages', 'looking which packages are installed', { ...BASE, type: 'exec', run });
}

/** Installs the packages that are missing. */
export function packageInstall({ packages }: Profile): ProfileStep {
  const run = { argv: ['/bin/sh', '-c', INSTALL, 'packages', ...packages] };
  const env = { DEBIAN_FRONTEND: 'noninteractive' };
  const spec = { ...BASE, type: 'exec', run, env, sudo: true } as const;
  return step('packages', `installing ${packages.join(' ')}`, spec);
}

/** What comes behind the packages, in order. System files are written through sudo where tasks may use it. */
export function profileSteps(profile: Profile, maySudo: boolean): readonly ProfileStep[] {
  return [
    ...profile.files.flatMap((file, index) => fileSteps(file, index, maySudo)),
    ...profile.repositories.map(({ url, destination, branch }) => {
      const place = { ...(destination ? { destination } : {}), ...(branch ? { branch } : {}) };
      return step('repositories', `cloning ${url}`, { ...BASE, type: 'git:clone', repo: url, ...place });
    }),
    ...profile.setupTasks.map(({ command, description }) =>
      step('setup', description || command, { ...BASE, type: 'exec', run: { command } }),
    ),
  ];
}

function fileSteps({ path, content }: ProfileFile, index: number, maySudo: boolean): ProfileStep[] {
  const label = `writing ${path}`;
  const write = { ...BASE, type: 'file:write', content, encoding: 'utf8' } as const;
  if (path.startsWith('~/')) return [step('files', label, { ...write, filePath: path.slice(2) })];
  const own = OWN_PLACES.some((place) => path.startsWith(place));
  if (own || !maySudo) return [step('files', label, { ...write, filePath: path })];
  const draft = `/tmp/.vm-agent-profile-file-${index + 1}`;
  const script = 'install -D -m 0644 -- "$1" "$2" && rm -f -- "$1"';
  const run = { argv: ['/bin/sh', '-c', script, 'install', draft, path] };
  return [
    step('files', label, { ...write, filePath: draft }),
    step('files', label, { ...BASE, type: 'exec', run, sudo: true }),
  ];
}

function step(stage: StageName, label: string, spec: TaskSpec): ProfileStep {
  return { stage, label: label.replace(/\s+/g, ' ').slice(0, 200), spec };
}
