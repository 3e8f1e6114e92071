import {
  type DeepPartial,
  HubService,
  type ShellOpen,
  ShellRequest,
  type ShellResponse,
  type ShellSize,
  StreamLogsRequest,
  WatchEventsRequest,
} from '../../gen/vmagent/v1/hub_service.js';
import type { Event, LogRecord } from '../../gen/vmagent/v1/log.js';
import { HubError } from '../model/hub-error.js';
import { resuming } from './resume.js';
import type { Transport } from './transport.js';

/** Options of streams. */
export interface StreamOptions {
  /** Ends the stream; the loop then throws the signal's reason. */
  readonly signal?: AbortSignal;
  /**
   * How long the hub may be away, in milliseconds, while the stream goes on behind the last item taken. Default 0:
   * the stream ends with the connection.
   */
  readonly reconnectMs?: number;
}

/** What the user of a terminal does. */
export type ShellInput = { readonly input: Uint8Array } | { readonly size: ShellSize };

/** Stored output, and with `follow` also what comes. */
export function streamLogs(
  transport: Transport,
  request: DeepPartial<StreamLogsRequest>,
  options: StreamOptions = {},
): AsyncIterable<LogRecord> {
  const call = options.signal ? { signal: options.signal } : {};
  return resuming(transport, { ...call, windowMs: options.reconnectMs ?? 0 }, (cursor) => {
    // Behind a cursor there is nothing left to choose.
    const { lines: _lines, since: _since, ...rest } = request;
    const message = StreamLogsRequest.fromPartial(cursor ? { ...rest, cursor } : request);
    return records(transport.stream(HubService.streamLogs, message, call));
  });
}

/** Events from a cursor on, or from now on. */
export function watchEvents(
  transport: Transport,
  request: DeepPartial<WatchEventsRequest>,
  options: StreamOptions = {},
): AsyncIterable<Event> {
  const call = options.signal ? { signal: options.signal } : {};
  return resuming(transport, { ...call, windowMs: options.reconnectMs ?? 0 }, (cursor) => {
    const message = WatchEventsRequest.fromPartial(cursor ? { ...request, cursor } : request);
    return events(transport.stream(HubService.watchEvents, message, call));
  });
}

/**
 * Opens a terminal: yields bytes for the screen and returns the exit code.
 *
 * @throws HubError AGENT_NOT_FOUND, AGENT_OFFLINE, SHELL_FAILED.
 */
export async function* openShell(
  transport: Transport,
  open: DeepPartial<ShellOpen>,
  input: AsyncIterable<ShellInput>,
  options: { readonly signal?: AbortSignal } = {},
): AsyncGenerator<Uint8Array, number, undefined> {
  const answers: AsyncIterable<ShellResponse> = transport.duplex(
    HubService.shell,
    requests(open, input),
    options,
  );
  for await (const { message } of answers) {
    if (message?.$case === 'output') yield message.value;
    if (message?.$case === 'exit') return message.value.exitCode;
  }
  throw new HubError('SHELL_FAILED', 'the terminal was closed without an exit code');
}

async function* requests(open: DeepPartial<ShellOpen>, input: AsyncIterable<ShellInput>) {
  yield ShellRequest.fromPartial({ message: { $case: 'open', value: open } });
  for await (const item of input) {
    const message =
      'size' in item
        ? ({ $case: 'size', value: item.size } as const)
        : ({ $case: 'input', value: Buffer.from(item.input) } as const);
    yield ShellRequest.fromPartial({ message });
  }
}

async function* records(answers: AsyncIterable<{ readonly record: LogRecord | undefined }>) {
  for await (const { record } of answers) if (record) yield record;
}

async function* events(answers: AsyncIterable<{ readonly event: Event | undefined }>) {
  for await (const { event } of answers) if (event) yield event;
}
