import { isBranchName } from '../../model/git-names.js';
import { HubError } from '../../model/hub-error.js';
import { isName } from '../../model/names.js';
import type { Profile, ProfileFile, ProfileRepository, SetupTask } from '../../model/profile.js';
import { MAX_CPU, parseSize } from '../resources.js';
import { JsonFields } from './json-fields.js';

const LIMITS = {
  description: 1_024,
  packages: 500,
  files: 100,
  content: 1_048_576,
  variables: 500,
  variableBytes: 65_536,
  repositories: 50,
  setupTasks: 100,
  command: 65_536,
  path: 4_096,
} as const;

const KEYS = [
  'name',
  'description',
  'resources',
  'environment',
  'files',
  'packages',
  'repositories',
  'setup_tasks',
];
const PACKAGE = /^[a-z0-9][a-z0-9+.-]{0,127}(:[a-z0-9-]{1,32})?(=[A-Za-z0-9.+~:-]{1,128})?$/;
const VARIABLE = /^[A-Za-z_][A-Za-z0-9_]{0,127}$/;

/**
 * Reads a profile as the first system wrote them: name, description, resources, environment, files, packages,
 * repositories, setup_tasks; all but the name may be missing.
 *
 * @throws HubError INVALID_FIELD naming every bad field by its path, such as `setup_tasks[2].command`.
 */
export function parseProfile(value: unknown, expectedName: string): Profile {
  const root = new JsonFields('', value, KEYS);
  const name = root.text('name', 63);
  if (name !== expectedName || !isName(name)) {
    root.bad('name', `the name of its file, ${expectedName}: a-z, 0-9 and -, at most 63 characters`);
  }
  const profile = {
    name,
    description: root.text('description', LIMITS.description, ''),
    resources: readResources(root.object('resources', ['cpu', 'memory', 'disk'])),
    environment: readEnvironment(root),
    files: root.objects('files', LIMITS.files, ['path', 'content']).map(readFile),
    packages: readPackages(root),
    repositories: root
      .objects('repositories', LIMITS.repositories, ['url', 'destination', 'branch'])
      .map(readRepository),
    setupTasks: root
      .objects('setup_tasks', LIMITS.setupTasks, ['type', 'command', 'description'])
      .map(readSetupTask),
  };
  if (root.problems.length > 0) throw HubError.invalid(...root.problems);
  return profile;
}

function readResources(fields: JsonFields): Profile['resources'] {
  const cpu = fields.number('cpu', 1, MAX_CPU);
  const size = (key: 'memory' | 'disk') => {
    const text = fields.text(key, 32, '');
    if (text !== '' && parseSize(text) === undefined) fields.bad(key, 'a size such as "8G" or "512MiB"');
    return text === '' ? {} : { [key]: text };
  };
  return { ...(cpu === undefined ? {} : { cpu }), ...size('memory'), ...size('disk') };
}

function readEnvironment(root: JsonFields): Record<string, string> {
  const fields = root.object('environment');
  const names = fields.keys();
  if (names.length > LIMITS.variables) root.bad('environment', `at most ${LIMITS.variables} variables`);
  const entries = names.map((name) => [name, fields.text(name, LIMITS.variableBytes)] as const);
  for (const [name, value] of entries) {
    if (!VARIABLE.test(name)) fields.bad(name, 'names are letters, digits and _, not beginning with a digit');
    if (name === 'PATH' && value.includes('$'))
      fields.bad(name, 'is taken as it is written, "$" is not replaced: write the whole path');
  }
  const bytes = entries.reduce((sum, [name, value]) => sum + Buffer.byteLength(name + value), 0);
  if (bytes > LIMITS.variableBytes) root.bad('environment', `at most ${LIMITS.variableBytes} bytes in all`);
  return Object.fromEntries(entries);
}

function readPackages(root: JsonFields): readonly string[] {
  const packages = root.texts('packages', LIMITS.packages, 300);
  packages.forEach((name, i) => {
    if (!PACKAGE.test(name)) root.bad(`packages[${i}]`, 'the name of a Debian package, such as "git"');
  });
  return packages;
}

function readFile(fields: JsonFields): ProfileFile {
  const path = fields.text('path', LIMITS.path);
  const parts = path.split('/');
  const anchored = path.startsWith('/') || path.startsWith('~/');
  if (!anchored || parts.includes('..') || path.endsWith('/')) {
    fields.bad('path', 'the path of a file, beginning with / or ~/ and without ".."');
  }
  return { path, content: fields.text('content', LIMITS.content, '') };
}

function readRepository(fields: JsonFields): ProfileRepository {
  const url = fields.text('url', LIMITS.path);
  const destination = fields.text('destination', LIMITS.path, '');
  const branch = fields.text('branch', 255, '');
  if (url === '' || url.startsWith('-') || /^[A-Za-z0-9]+::/.test(url)) {
    fields.bad('url', 'the address of a git repository');
  }
  if (destination.startsWith('-')) fields.bad('destination', 'must not begin with "-"');
  if (branch !== '' && !isBranchName(branch)) fields.bad('branch', 'a valid git branch name');
  return { url, ...(destination ? { destination } : {}), ...(branch ? { branch } : {}) };
}

function readSetupTask(fields: JsonFields): SetupTask {
  if (fields.text('type', 32, 'exec') !== 'exec') fields.bad('type', 'only "exec"');
  const command = fields.text('command', LIMITS.command);
  if (command.trim() === '') fields.bad('command', 'a line for /bin/sh, not empty');
  return { command, description: fields.text('description', LIMITS.description, '') };
}
