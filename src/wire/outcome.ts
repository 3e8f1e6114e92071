import type { TaskOutcome as ProtoOutcome, TaskResult as ProtoResult } from '../../gen/vmagent/v1/task.js';
import type { TaskOutcome, TaskResult } from '../model/task.js';

/** How an attempt ended, as a message. */
export function outcomeToProto(outcome: TaskOutcome): ProtoOutcome {
  return {
    exitCode: outcome.exitCode,
    signal: outcome.signal ?? '',
    reason: outcome.reason,
    message: outcome.message ?? '',
    stdoutBytes: outcome.stdoutBytes,
    stderrBytes: outcome.stderrBytes,
    stdoutTail: outcome.stdoutTail,
    stderrTail: outcome.stderrTail,
    killed: outcome.killed,
    lostBytes: outcome.lostBytes,
    result: outcome.result === undefined ? undefined : resultToProto(outcome.result),
  };
}

/** How an attempt ended, from a message. */
export function outcomeFromProto(proto: ProtoOutcome): TaskOutcome {
  return {
    ...(proto.exitCode === undefined ? {} : { exitCode: proto.exitCode }),
    ...(proto.signal === '' ? {} : { signal: proto.signal }),
    reason: proto.reason,
    ...(proto.message === '' ? {} : { message: proto.message }),
    stdoutBytes: proto.stdoutBytes,
    stderrBytes: proto.stderrBytes,
    stdoutTail: proto.stdoutTail,
    stderrTail: proto.stderrTail,
    killed: proto.killed,
    lostBytes: proto.lostBytes,
    ...(proto.result === undefined ? {} : { result: resultFromProto(proto.result) }),
  };
}

function resultToProto(result: TaskResult): ProtoResult {
  return {
    filePath: result.filePath ?? '',
    content: result.content ?? '',
    encoding: result.encoding ?? '',
    size: result.size ?? 0,
    repo: result.repo ?? '',
    destination: result.destination ?? '',
    branch: result.branch ?? '',
    commit: result.commit ?? '',
    remote: result.remote ?? '',
  };
}

/** A file's answer has a path; then content and size count even when they are empty. */
function resultFromProto(proto: ProtoResult): TaskResult {
  const file = proto.filePath !== '';
  const { encoding } = proto;
  return {
    ...(file ? { filePath: proto.filePath, size: proto.size } : {}),
    ...(encoding === 'utf8' || encoding === 'base64' ? { content: proto.content, encoding } : {}),
    ...texts({
      repo: proto.repo,
      destination: proto.destination,
      branch: proto.branch,
      commit: proto.commit,
      remote: proto.remote,
    }),
  };
}

function texts<T extends Record<string, string>>(values: T): Partial<T> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== '')) as Partial<T>;
}
