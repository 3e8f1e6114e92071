import { readFile } from 'node:fs/promises';
import { HubError } from '../../model/hub-error.js';
import { hasTool, runTool, type ToolOptions } from './tool.js';

/** Where packages of an image come from, and how apt is to fetch them. */
export interface AptSetup {
  /** Lines of sources.list. */
  readonly sources: readonly string[];
  /** Settings for building and for the guest, as lines of apt.conf. */
  readonly options: readonly string[];
  /** Settings for building alone, because a machine cannot use them. */
  readonly buildOptions: readonly string[];
}

/** Settings of the host's apt that decide whether fetching works at all. */
const TAKEN_OVER =
  /^Acquire::(?:Check-Valid-Until|Check-Date|Retries|ForceIPv4|ForceIPv6|https?::(?:Proxy|Timeout)) /;
const LOOPBACK = /:\/\/(?:[^/@]*@)?(?:127\.|localhost[:/"]|\[::1\])/;
const SECRET = /:\/\/[^/"@]+@/;

const DEBIAN = 'http://deb.debian.org/debian';
const DEBIAN_SECURITY = 'http://deb.debian.org/debian-security';
/** What holds for every suite: security updates come under a name of their own. */
const POCKETS = ['', '-updates', '-security'];

const SUITE_PATTERN = /^[a-z][a-z0-9-]{0,30}$/;

/**
 * Checks the name of a suite.
 *
 * @throws HubError INVALID_FIELD.
 */
export function checkSuite(suite: string): string {
  if (SUITE_PATTERN.test(suite)) return suite;
  throw HubError.invalid({
    field: 'suite',
    description: 'name of a Debian release, such as bookworm: lower case letters, digits and -',
  });
}

/** Debian's packages of one suite from where this host takes its own, with its proxy. */
export async function hostApt(suite: string, options: ToolOptions): Promise<AptSetup> {
  if (!hasTool('apt-get', options.env))
    return { sources: usualSources(suite), options: [], buildOptions: [] };
  const [sources, settings] = await Promise.all([hostSources(suite, options), hostOptions(options)]);
  const forGuest = settings.filter((line) => !LOOPBACK.test(line) && !SECRET.test(line));
  return {
    sources: sources.length > 0 ? sources : usualSources(suite),
    options: forGuest,
    buildOptions: settings.filter((line) => !forGuest.includes(line)),
  };
}

function usualSources(suite: string): readonly string[] {
  const line = (uri: string, pocket: string) => `deb ${uri} ${suite}${pocket} main`;
  if (suite === 'sid' || suite === 'unstable') return [line(DEBIAN, '')];
  return [line(DEBIAN, ''), line(DEBIAN, '-updates'), line(DEBIAN_SECURITY, '-security')];
}

/** The host's sources that are Debian's own, for the wanted suite. */
async function hostSources(suite: string, options: ToolOptions): Promise<readonly string[]> {
  const ours = debianSuite(await readFile('/etc/os-release', 'utf8').catch(() => ''));
  if (ours === undefined) return [];
  const lines = new Set<string>();
  for (const target of await indexTargets(options)) {
    const pocket = POCKETS.find((one) => target.release === `${ours}${one}`);
    if (pocket === undefined || target.component !== 'main' || !isDebian(target)) continue;
    if (SECRET.test(target.uri) || LOOPBACK.test(target.uri) || /\s/.test(target.uri)) continue;
    lines.add(`deb ${target.uri} ${suite}${pocket} main`);
  }
  return [...lines].some((line) => line.endsWith(` ${suite} main`)) ? [...lines] : [];
}

/** The suite of a Debian host. */
function debianSuite(osRelease: string): string | undefined {
  if (!/^ID="?debian"?$/m.test(osRelease)) return undefined;
  return /^VERSION_CODENAME="?([a-z-]+)"?$/m.exec(osRelease)?.[1];
}

interface IndexTarget {
  readonly uri: string;
  readonly release: string;
  readonly component: string;
  /** Who made it, where its lists were fetched. */
  readonly origin: string | undefined;
}

/** Without its lists apt does not know who made a source; then the address has to tell. */
function isDebian({ origin, uri }: IndexTarget): boolean {
  return origin === undefined ? /debian/i.test(uri) : origin === 'Debian';
}

async function indexTargets(options: ToolOptions): Promise<readonly IndexTarget[]> {
  const query = (...args: string[]) =>
    runTool('apt-get', ['indextargets', ...args, 'Created-By: Packages'], options);
  const known = await query('--format', '$(REPO_URI)|$(RELEASE)|$(ORIGIN)');
  const origins = new Map(known.split('\n').map((line) => splitLast(line)));
  const all = await query('--no-release-info', '--format', '$(REPO_URI)|$(RELEASE)|$(COMPONENT)');
  return all.split('\n').flatMap((line) => {
    const [uri, release, component] = line.split('|');
    if (!uri || !release || !component) return [];
    return [{ uri, release, component, origin: origins.get(`${uri}|${release}`) }];
  });
}

function splitLast(line: string): [string, string] {
  const at = line.lastIndexOf('|');
  return [line.slice(0, at), line.slice(at + 1)];
}

async function hostOptions(options: ToolOptions): Promise<readonly string[]> {
  const dump = await runTool('apt-config', ['dump'], options);
  return dump.split('\n').filter((line) => TAKEN_OVER.test(line));
}
