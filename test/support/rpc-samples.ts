import { once } from 'node:events';
import type { ServiceError } from '@grpc/grpc-js';
import { ShellRequest, StreamLogsRequest } from '../../gen/vmagent/v1/hub_service.js';
import { onAbort } from '../../src/base/abort.js';
import type { LogEntry } from '../../src/hub/api.js';
import type { ShellInput, ShellOutput } from '../../src/model/agent-protocol.js';
import type { HubError } from '../../src/model/hub-error.js';
import { hubErrorFromStatus } from '../../src/wire/status.js';

/** Asks for the output of a task and what is still to come. */
export const FOLLOW = StreamLogsRequest.fromPartial({ task: 't', follow: true });

/** A record of output. */
export function logEntry(data: Uint8Array): LogEntry {
  const about = { task: 't', attempt: 1, stream: 'STDOUT', agent: 'a' } as const;
  return { ...about, cursor: '1', offset: 0, timeMs: 1, gapBytes: 0, partial: false, data };
}

/** Yields what is given and then waits for the signal, as a follower does. */
export async function* followed(entries: readonly LogEntry[], signal: AbortSignal): AsyncIterable<LogEntry> {
  yield* entries;
  await new Promise((_, reject) => onAbort(signal, reject));
}

/** A shell that says what it is told and ends with 7. */
export async function* echo(input: AsyncIterable<ShellInput>): AsyncIterable<ShellOutput> {
  for await (const message of input)
    if (message.type === 'input') yield { type: 'output', data: message.data };
  yield { type: 'exit', exitCode: 7 };
}

/** The first message of a shell. */
export const OPEN_SHELL = ShellRequest.fromPartial({
  message: { $case: 'open', value: { agent: 'my-agent' } },
});

/** What is typed into a shell. */
export function keys(data: string | Buffer): ShellRequest {
  return { message: { $case: 'input', value: Buffer.from(data) } };
}

/** The error that a stream ends with. */
export async function errorOf(stream: NodeJS.EventEmitter & { resume(): unknown }): Promise<HubError> {
  stream.resume();
  const [err] = (await once(stream, 'error')) as [ServiceError];
  return hubErrorFromStatus(err.code, err.details, err.metadata);
}
