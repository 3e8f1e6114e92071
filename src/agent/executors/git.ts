import { readdir } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { isErrno } from '../../base/errno.js';
import { freshId } from '../../base/fresh-id.js';
import { run } from '../../base/process.js';
import { isBranchName } from '../../model/git-names.js';
import type { GitCloneSpec, GitPullSpec, GitPushSpec, SpecBase, TaskResult } from '../../model/task.js';
import { asUser } from '../task-user.js';
import { type Ending, type ExecutorContext, TaskFailure } from './executor.js';
import { filesOf } from './files.js';
import { type GitRemote, parseGitRemote, repositoryName } from './git-remote.js';
import { runArgv, taskEnv, workingDirectory } from './run-argv.js';
import { withTempFile } from './temp-file.js';

/** Answers git's questions from the environment, so that credentials are in no argv. */
const ASKPASS = `#!/bin/sh
case "$1" in
Username*) printf '%s\\n' "$VM_AGENT_GIT_USERNAME" ;;
*) printf '%s\\n' "$VM_AGENT_GIT_PASSWORD" ;;
esac
`;
const NEEDS_LOGIN =
  /could not read (Username|Password)|Authentication failed|terminal prompts disabled|Permission denied \(|Host key verification failed/;

/** Runs `git:clone`: beside the destination first, so that a failed clone leaves nothing. */
export async function runGitClone(ctx: ExecutorContext, spec: GitCloneSpec): Promise<Ending> {
  const remote = parseGitRemote(spec.repo);
  if (spec.branch !== undefined) checkBranch(spec.branch);
  const cwd = workingDirectory(ctx, spec);
  const destination = resolve(cwd, spec.destination ?? repositoryName(remote.url));
  await checkFree(destination);
  const files = filesOf(ctx);
  await failing(() => files.makeDirectory(dirname(destination)));
  const partial = join(dirname(destination), `.clone-${freshId()}`);
  try {
    const branch = spec.branch === undefined ? [] : [`--branch=${spec.branch}`];
    const ending = await git(ctx, spec, ['clone', ...branch, '--', remote.url, partial], remote);
    if (ending.state !== 'SUCCEEDED') return ending;
    await failing(() => files.rename(partial, destination));
    return { ...ending, result: { repo: remote.url, ...(await treeOf(ctx, spec, destination)) } };
  } finally {
    await files.remove(partial);
  }
}

/** Runs `git:pull`. */
export async function runGitPull(ctx: ExecutorContext, spec: GitPullSpec): Promise<Ending> {
  const tree = workingTree(ctx, spec, spec.repoPath);
  const ending = await git(ctx, { ...spec, cwd: tree }, ['pull']);
  return ending.state === 'SUCCEEDED' ? { ...ending, result: await treeOf(ctx, spec, tree) } : ending;
}

/** Runs `git:push`. */
export async function runGitPush(ctx: ExecutorContext, spec: GitPushSpec): Promise<Ending> {
  const { remote, branch } = spec;
  checkBranch(branch);
  const { url, ...login } = parseGitRemote(remote);
  const tree = workingTree(ctx, spec, spec.repoPath);
  const ending = await git(ctx, { ...spec, cwd: tree }, ['push', '--', url, branch], { url, ...login });
  if (ending.state !== 'SUCCEEDED') return ending;
  return { ...ending, result: { ...(await treeOf(ctx, spec, tree)), remote: url, branch } };
}

function workingTree(ctx: ExecutorContext, spec: SpecBase, repoPath: string | undefined): string {
  return workingDirectory(ctx, { ...spec, cwd: resolve(ctx.home, spec.cwd ?? '.', repoPath ?? '.') });
}

/** Runs git without prompts and with safe transports only. */
function git(
  ctx: ExecutorContext,
  spec: SpecBase,
  args: readonly string[],
  login: Partial<GitRemote> = {},
): Promise<Ending> {
  const { username, password } = login;
  if (username === undefined && password === undefined) return runGit(ctx, spec, args, {});
  return withTempFile(ctx, { suffix: '-askpass', content: ASKPASS, mode: 0o700 }, (askpass) => {
    const env = { GIT_ASKPASS: askpass, VM_AGENT_GIT_USERNAME: username ?? '' };
    return runGit(ctx, spec, args, { ...env, VM_AGENT_GIT_PASSWORD: password ?? '' });
  });
}

async function runGit(
  ctx: ExecutorContext,
  spec: SpecBase,
  args: readonly string[],
  login: Readonly<Record<string, string>>,
): Promise<Ending> {
  const given = taskEnv(ctx, spec);
  const env = {
    GIT_TERMINAL_PROMPT: '0',
    GIT_ALLOW_PROTOCOL: 'file:git:http:https:ssh',
    GIT_SSH_COMMAND: `${given.GIT_SSH_COMMAND ?? 'ssh'} -oBatchMode=yes`,
    ...login,
  };
  const ending = await runArgv(ctx, spec, ['git', ...args], env);
  const tail = ctx.process.sink.tail('STDERR');
  if (ending.state !== 'FAILED' || !NEEDS_LOGIN.test(tail)) return ending;
  return {
    ...ending,
    reason: 'AUTH_REQUIRED',
    message: 'the repository wants a login that was not given or is wrong',
  };
}

async function treeOf(ctx: ExecutorContext, spec: SpecBase, destination: string): Promise<TaskResult> {
  const env = taskEnv(ctx, spec);
  const ask = async (...args: readonly string[]) => {
    const [file = '', ...line] = asUser(ctx.user, ['git', '-C', destination, ...args]);
    const result = await run(file, line, { env, timeoutMs: 10_000 });
    return result.code === 0 ? result.stdout.trim() : '';
  };
  const branch = await ask('symbolic-ref', '--short', '--quiet', 'HEAD');
  const commit = await ask('rev-parse', '--verify', '--quiet', 'HEAD');
  return { destination, branch, commit };
}

async function checkFree(destination: string): Promise<void> {
  try {
    if ((await readdir(destination)).length === 0) return;
  } catch (err) {
    if (isErrno(err, 'ENOENT')) return;
    if (!isErrno(err, 'ENOTDIR')) throw err;
  }
  throw new TaskFailure('DESTINATION_EXISTS', `${destination} is there and is not an empty directory`);
}

function checkBranch(branch: string): void {
  if (!isBranchName(branch)) throw new TaskFailure('INVALID_ARGUMENT', 'branch: is not a valid branch name');
}

async function failing<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (err) {
    if (isErrno(err, 'EACCES', 'EPERM', 'EROFS')) throw new TaskFailure('FILE_NOT_ALLOWED', err.message);
    throw err;
  }
}
