import type {
  AttachShellRequest,
  AttachShellResponse,
  OutputAck,
  StreamOutputRequest,
  StreamOutputResponse,
} from '../../gen/vmagent/v1/agent_service.js';
import type { AttachShellFrame, OutputFrame, ShellInput } from '../model/agent-protocol.js';
import { assertNever } from '../model/assert-never.js';
import type { OutputProgress } from '../model/output.js';
import { asBuffer, outputStreamFromProto, outputStreamToProto, protocolError } from './frame-check.js';

/** Most bytes of one output chunk. */
export const MAX_CHUNK_BYTES = 65_536;

/** A frame of StreamOutput from the agent, as a message. */
export function outputFrameToProto(frame: OutputFrame): StreamOutputRequest {
  switch (frame.type) {
    case 'open':
      return { frame: { $case: 'sessionGeneration', value: frame.sessionGeneration } };
    case 'chunk': {
      const { task, attempt, offset, timeMs: time } = frame.chunk;
      const stream = outputStreamToProto(frame.chunk.stream);
      const data = asBuffer(frame.chunk.data);
      return { frame: { $case: 'chunk', value: { task, attempt, stream, offset, time, data } } };
    }
    case 'gap': {
      const { task, attempt, offset, bytes } = frame.gap;
      const stream = outputStreamToProto(frame.gap.stream);
      return { frame: { $case: 'gap', value: { task, attempt, stream, offset, bytes } } };
    }
    default:
      return assertNever(frame);
  }
}

/**
 * A frame of StreamOutput from a message.
 *
 * @throws HubError PROTOCOL_ERROR naming the bad field.
 */
export function outputFrameFromProto(proto: StreamOutputRequest): OutputFrame {
  const { frame } = proto;
  switch (frame?.$case) {
    case 'sessionGeneration':
      return { type: 'open', sessionGeneration: frame.value };
    case 'chunk': {
      const { task, attempt, offset, time: timeMs, data } = frame.value;
      if (data.length > MAX_CHUNK_BYTES) throw protocolError(`chunk.data: at most ${MAX_CHUNK_BYTES} bytes`);
      checkPlace('chunk', frame.value);
      const stream = outputStreamFromProto(frame.value.stream);
      return { type: 'chunk', chunk: { task, attempt, stream, offset, timeMs, data } };
    }
    case 'gap': {
      const { task, attempt, offset, bytes } = frame.value;
      checkPlace('gap', frame.value);
      if (bytes < 1) throw protocolError('gap.bytes: at least 1');
      return {
        type: 'gap',
        gap: { task, attempt, stream: outputStreamFromProto(frame.value.stream), offset, bytes },
      };
    }
    default:
      throw protocolError('StreamOutputRequest.frame is required');
  }
}

/** How far streams are stored, as a message. */
export function outputAcksToProto(acks: readonly OutputProgress[]): StreamOutputResponse {
  return { acks: acks.map(progressToProto) };
}

/** How far streams are stored, from a message. */
export function outputAcksFromProto(proto: StreamOutputResponse): readonly OutputProgress[] {
  return proto.acks.map(progressFromProto);
}

/** How far one stream is stored, as a message. */
export function progressToProto(progress: OutputProgress): OutputAck {
  return { ...progress, stream: outputStreamToProto(progress.stream) };
}

/** How far one stream is stored, from a message. */
export function progressFromProto(proto: OutputAck): OutputProgress {
  const { task, attempt, nextOffset, rewind } = proto;
  return { task, attempt, stream: outputStreamFromProto(proto.stream), nextOffset, rewind };
}

/** A frame of AttachShell from the agent, as a message. */
export function attachShellToProto(frame: AttachShellFrame): AttachShellRequest {
  switch (frame.type) {
    case 'open': {
      const { sessionGeneration, shell } = frame;
      return { frame: { $case: 'open', value: { sessionGeneration, shell } } };
    }
    case 'output':
      return { frame: { $case: 'output', value: asBuffer(frame.data) } };
    case 'exit':
      return { frame: { $case: 'exit', value: { exitCode: frame.exitCode } } };
    default:
      return assertNever(frame);
  }
}

/**
 * A frame of AttachShell from a message.
 *
 * @throws HubError PROTOCOL_ERROR naming the bad field.
 */
export function attachShellFromProto(proto: AttachShellRequest): AttachShellFrame {
  const { frame } = proto;
  switch (frame?.$case) {
    case 'open':
      return { type: 'open', ...frame.value };
    case 'output':
      if (frame.value.length > MAX_CHUNK_BYTES)
        throw protocolError(`output: at most ${MAX_CHUNK_BYTES} bytes`);
      return { type: 'output', data: frame.value };
    case 'exit':
      return { type: 'exit', exitCode: frame.value.exitCode };
    default:
      throw protocolError('AttachShellRequest.frame is required');
  }
}

/** What goes to a terminal, as a message. */
export function shellInputToProto(input: ShellInput): AttachShellResponse {
  if (input.type === 'size') return { frame: { $case: 'size', value: input.size } };
  return { frame: { $case: 'input', value: asBuffer(input.data) } };
}

/** What goes to a terminal, from a message; undefined for a frame that this version does not know. */
export function shellInputFromProto(proto: AttachShellResponse): ShellInput | undefined {
  const { frame } = proto;
  if (frame?.$case === 'input') return { type: 'input', data: frame.value };
  return frame?.$case === 'size' ? { type: 'size', size: frame.value } : undefined;
}

function checkPlace(name: string, place: { task: string; attempt: number; offset: number }): void {
  if (place.task === '' || place.attempt < 1)
    throw protocolError(`${name}.task and ${name}.attempt are required`);
  if (place.offset < 0) throw protocolError(`${name}.offset: at least 0`);
}
