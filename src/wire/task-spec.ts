import type { TaskSpec as ProtoSpec } from '../../gen/vmagent/v1/task.js';
import { assertNever } from '../model/assert-never.js';
import { isBranchName } from '../model/git-names.js';
import {
  type CommandType,
  type FileEncoding,
  type Run,
  type SpecBase,
  TASK_TYPES,
  type TaskSpec,
  type TaskType,
} from '../model/task.js';
import { Violations } from './violations.js';

/** Run-time limit of a task that names none, in milliseconds. */
export const DEFAULT_TIMEOUT_MS = 1_800_000;

const PATH_BYTES = 4096;
const COMMAND_BYTES = 131_072;
const SCRIPT_BYTES = 1_048_576;
const CONTENT_BYTES = 2_097_152;
const ARGUMENTS = 10_000;
const VARIABLES = 1000;
const REF_BYTES = 255;
const DEFAULT_COMMANDS: Partial<Record<CommandType, string>> = { build: 'npm run build', test: 'npm test' };

/**
 * Reads and checks what a task does. It takes a CreateTaskRequest too, whose first fields are the same.
 *
 * @throws HubError INVALID_FIELD naming every bad field and what is allowed.
 */
export function taskSpecFromProto(proto: ProtoSpec): TaskSpec {
  const found = new Violations();
  const spec = readTaskSpec(proto, found);
  found.throwIfAny();
  return spec;
}

/**
 * As {@link taskSpecFromProto}, for a caller that collects what is wrong with further fields. The answer counts
 * only when nothing was found.
 */
export function readTaskSpec(proto: ProtoSpec, found: Violations): TaskSpec {
  const { type } = proto;
  found.oneOf('type', type, TASK_TYPES);
  const base = readBase(proto, found);
  return isTaskType(type)
    ? readKind(type, proto, base, found)
    : { ...base, type: 'exec', run: { command: '' } };
}

function isTaskType(type: string): type is TaskType {
  return (TASK_TYPES as readonly string[]).includes(type);
}

function readBase(proto: ProtoSpec, found: Violations): SpecBase {
  found.text('cwd', proto.cwd, PATH_BYTES);
  checkVariables('env', proto.env, found);
  checkVariables('secrets', proto.secrets, found);
  found.number('timeout', proto.timeout, 0, 2_147_483_647);
  return {
    ...given('cwd', proto.cwd),
    env: proto.env,
    secrets: proto.secrets,
    timeoutMs: proto.timeout === 0 ? DEFAULT_TIMEOUT_MS : proto.timeout,
    sudo: proto.sudo,
  };
}

function readKind(type: TaskType, proto: ProtoSpec, base: SpecBase, found: Violations): TaskSpec {
  switch (type) {
    case 'exec':
    case 'build':
    case 'test':
    case 'deploy':
      return { ...base, type, run: readRun(type, proto, found) };
    case 'script':
      found.required('script', proto.script, SCRIPT_BYTES);
      checkArguments('args', proto.args, found);
      return { ...base, type, script: proto.script, args: proto.args };
    case 'git:clone':
      return { ...base, type, ...readClone(proto, found) };
    case 'git:pull':
      found.text('repoPath', proto.repoPath, PATH_BYTES);
      return { ...base, type, ...given('repoPath', proto.repoPath) };
    case 'git:push':
      return { ...base, type, ...readPush(proto, found) };
    case 'file:read':
      found.required('filePath', proto.filePath, PATH_BYTES);
      return { ...base, type, filePath: proto.filePath, encoding: readEncoding(proto, found) };
    case 'file:write':
      return { ...base, type, ...readWrite(proto, found) };
    default:
      return assertNever(type);
  }
}

function readRun(type: CommandType, proto: ProtoSpec, found: Violations): Run {
  const { command, argv } = proto;
  if (argv.length > 0) {
    if (command !== '') found.add('argv', 'give either command or argv, not both');
    if (argv[0] === '') found.add('argv', 'the first item is the program and must not be empty');
    checkArguments('argv', argv, found);
    return { argv };
  }
  const text = command.trim() === '' ? (DEFAULT_COMMANDS[type] ?? '') : command;
  if (text === '') found.add('command', `is required for ${type} (or argv)`);
  found.text('command', text, COMMAND_BYTES);
  return { command: text };
}

function readClone(proto: ProtoSpec, found: Violations) {
  const { repo, destination, branch } = proto;
  found.required('repo', repo, PATH_BYTES);
  notAnOption('repo', repo, found);
  found.text('destination', destination, PATH_BYTES);
  notAnOption('destination', destination, found);
  checkBranch(branch, found);
  return { repo, ...given('destination', destination), ...given('branch', branch) };
}

function readPush(proto: ProtoSpec, found: Violations) {
  found.text('repoPath', proto.repoPath, PATH_BYTES);
  found.text('remote', proto.remote, REF_BYTES);
  notAnOption('remote', proto.remote, found);
  checkBranch(proto.branch, found);
  const remote = proto.remote === '' ? 'origin' : proto.remote;
  const branch = proto.branch === '' ? 'main' : proto.branch;
  return { ...given('repoPath', proto.repoPath), remote, branch };
}

function readWrite(proto: ProtoSpec, found: Violations) {
  const { filePath, content } = proto;
  found.required('filePath', filePath, PATH_BYTES);
  found.text('content', content, CONTENT_BYTES);
  const encoding = readEncoding(proto, found);
  if (encoding === 'base64' && !isBase64(content)) found.add('content', 'must be base64');
  return { filePath, content, encoding };
}

function readEncoding(proto: ProtoSpec, found: Violations): FileEncoding {
  if (proto.encoding !== '') found.oneOf('encoding', proto.encoding, ['utf8', 'base64']);
  return proto.encoding === 'base64' ? 'base64' : 'utf8';
}

function isBase64(text: string): boolean {
  return text.length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(text);
}

function checkBranch(branch: string, found: Violations): void {
  found.text('branch', branch, REF_BYTES);
  if (branch !== '' && !isBranchName(branch))
    found.add('branch', 'a valid git branch name that does not begin with "-"');
}

function notAnOption(field: string, value: string, found: Violations): void {
  if (value.startsWith('-')) found.add(field, 'must not begin with "-"');
}

function checkArguments(field: string, values: readonly string[], found: Violations): void {
  if (values.length > ARGUMENTS) found.add(field, `at most ${ARGUMENTS} items`);
  if (values.some((value) => value.includes('\0'))) found.add(field, 'must not contain NUL characters');
  const bytes = values.reduce((sum, value) => sum + Buffer.byteLength(value), 0);
  if (bytes > COMMAND_BYTES) found.add(field, `at most ${COMMAND_BYTES} bytes in all`);
}

function checkVariables(field: string, values: Readonly<Record<string, string>>, found: Violations): void {
  const entries = Object.entries(values);
  if (entries.length > VARIABLES) found.add(field, `at most ${VARIABLES} entries`);
  if (entries.some(([name]) => name === '' || name.includes('=')))
    found.add(field, 'names must not be empty or contain "="');
  if (entries.some(([name, value]) => name.includes('\0') || value.includes('\0')))
    found.add(field, 'must not contain NUL characters');
  const bytes = entries.reduce((sum, [name, value]) => sum + Buffer.byteLength(name + value), 0);
  if (bytes > COMMAND_BYTES) found.add(field, `at most ${COMMAND_BYTES} bytes in all`);
}

/** An object with one field, or with none when the text is empty. */
function given<K extends string>(key: K, value: string): { readonly [P in K]?: string } {
  return value === '' ? {} : ({ [key]: value } as { readonly [P in K]?: string });
}

/** Options of {@link taskSpecToProto}. */
export interface SpecToProtoOptions {
  /** Leaves the values of `secrets` empty, as in everything that callers see. Default false. */
  readonly redactSecrets?: boolean;
}

/** What a task does, as a message. */
export function taskSpecToProto(spec: TaskSpec, options: SpecToProtoOptions = {}): ProtoSpec {
  const secrets = options.redactSecrets ? emptied(spec.secrets) : { ...spec.secrets };
  const { type, cwd = '', timeoutMs: timeout, sudo } = spec;
  const base = { ...EMPTY_SPEC, type, cwd, env: { ...spec.env }, secrets, timeout, sudo };
  switch (spec.type) {
    case 'exec':
    case 'build':
    case 'test':
    case 'deploy':
      return 'argv' in spec.run
        ? { ...base, argv: [...spec.run.argv] }
        : { ...base, command: spec.run.command };
    case 'script':
      return { ...base, script: spec.script, args: [...spec.args] };
    case 'git:clone':
      return { ...base, repo: spec.repo, destination: spec.destination ?? '', branch: spec.branch ?? '' };
    case 'git:pull':
      return { ...base, repoPath: spec.repoPath ?? '' };
    case 'git:push':
      return { ...base, repoPath: spec.repoPath ?? '', remote: spec.remote, branch: spec.branch };
    case 'file:read':
      return { ...base, filePath: spec.filePath, encoding: spec.encoding };
    case 'file:write':
      return { ...base, filePath: spec.filePath, content: spec.content, encoding: spec.encoding };
    default:
      return assertNever(spec);
  }
}

const EMPTY_SPEC = {
  command: '',
  argv: [],
  allowSudo: false,
  script: '',
  args: [],
  repo: '',
  destination: '',
  branch: '',
  repoPath: '',
  remote: '',
  filePath: '',
  content: '',
  encoding: '',
} satisfies Partial<ProtoSpec>;

function emptied(values: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.keys(values).map((name) => [name, '']));
}
