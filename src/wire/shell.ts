import type {
  ShellOpen as ProtoOpen,
  ShellSize as ProtoSize,
  ShellRequest,
  ShellResponse,
} from '../../gen/vmagent/v1/hub_service.js';
import { HubError } from '../model/hub-error.js';
import { Violations } from './violations.js';

const MAX_INPUT = 65_536;
const MAX_ARGUMENTS = 10_000;
const ARGUMENT_BYTES = 131_072;
const MAX_CELLS = 10_000;

/**
 * Reads and checks which terminal to open.
 *
 * @throws HubError INVALID_FIELD naming every bad field.
 */
export function shellOpenFromProto(proto: ProtoOpen) {
  const found = new Violations();
  found.name('agent', proto.agent);
  const bytes = proto.argv.reduce((sum, item) => sum + Buffer.byteLength(item), 0);
  if (proto.argv.length > MAX_ARGUMENTS || bytes > ARGUMENT_BYTES)
    found.add('argv', `at most ${MAX_ARGUMENTS} items and ${ARGUMENT_BYTES} bytes in all`);
  if (proto.argv.some((item) => item.includes('\0'))) found.add('argv', 'must not contain NUL characters');
  if (proto.argv[0] === '') found.add('argv', 'the first item is the program and must not be empty');
  found.text('term', proto.term, 64);
  checkSize(proto.size ?? DEFAULT_SIZE, found);
  found.throwIfAny();
  const { columns, rows } = proto.size ?? DEFAULT_SIZE;
  const term = proto.term === '' ? 'xterm-256color' : proto.term;
  return { agent: proto.agent, open: { argv: proto.argv, size: { columns, rows }, term } };
}

/**
 * Reads and checks what a terminal's user sends after `open`.
 *
 * @throws HubError INVALID_FIELD.
 */
export function shellInputFromProto(proto: ShellRequest) {
  const { message } = proto;
  if (message?.$case === 'size') {
    const found = new Violations();
    checkSize(message.value, found);
    found.throwIfAny();
    const { columns, rows } = message.value;
    return { type: 'size' as const, size: { columns, rows } };
  }
  if (message?.$case !== 'input')
    throw HubError.invalid({ field: 'message', description: 'input or size, after the first message' });
  if (message.value.length > MAX_INPUT)
    throw HubError.invalid({ field: 'input', description: `at most ${MAX_INPUT} bytes` });
  return { type: 'input' as const, data: message.value };
}

/** What a terminal shows, as a message. */
export function shellOutputToProto(
  output:
    | { readonly type: 'output'; readonly data: Uint8Array }
    | { readonly type: 'exit'; readonly exitCode: number },
): ShellResponse {
  if (output.type === 'exit') return { message: { $case: 'exit', value: { exitCode: output.exitCode } } };
  const { data } = output;
  const value = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  return { message: { $case: 'output', value } };
}

const DEFAULT_SIZE: ProtoSize = { columns: 80, rows: 24 };

function checkSize(size: ProtoSize, found: Violations): void {
  found.number('size.columns', size.columns, 1, MAX_CELLS);
  found.number('size.rows', size.rows, 1, MAX_CELLS);
}
