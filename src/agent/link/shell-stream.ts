import type { AttachShellRequest, AttachShellResponse } from '../../../gen/vmagent/v1/agent_service.js';
import { attachShellToProto, MAX_CHUNK_BYTES, shellInputFromProto } from '../../wire/agent-protocol.js';
import type { Terminal } from '../terminal.js';
import type { Channel } from './channel.js';
import { Duplex } from './duplex.js';

/** Which shell a terminal is for. */
export interface ShellStreamOptions {
  readonly channel: Channel;
  readonly sessionGeneration: number;
  readonly shell: string;
}

/** Carries a terminal to the hub. The terminal is killed when the stream ends before it. */
export async function serveShell(options: ShellStreamOptions, terminal: Terminal): Promise<void> {
  const { channel, sessionGeneration, shell } = options;
  const call = channel.client.attachShell(channel.metadata());
  const stream = new Duplex<AttachShellRequest, AttachShellResponse>(call, (message) => {
    const input = shellInputFromProto(message);
    if (input?.type === 'input') terminal.write(Buffer.from(input.data));
    else if (input?.type === 'size') terminal.resize(input.size);
  });
  try {
    await stream.write(attachShellToProto({ type: 'open', sessionGeneration, shell }));
    terminal.read((data) => send(stream, terminal, data));
    const exitCode = await Promise.race([terminal.exited, stream.closed.then(() => undefined)]);
    if (exitCode === undefined) return;
    await stream.write(attachShellToProto({ type: 'exit', exitCode }));
    stream.end();
    await stream.closed;
  } finally {
    terminal.kill();
    stream.cancel();
  }
}

function send(
  stream: Duplex<AttachShellRequest, AttachShellResponse>,
  terminal: Terminal,
  data: Buffer,
): void {
  for (let from = 0; from < data.length; from += MAX_CHUNK_BYTES) {
    const part = data.subarray(from, from + MAX_CHUNK_BYTES);
    if (stream.writeNow(attachShellToProto({ type: 'output', data: part }))) continue;
    terminal.pause();
    void stream.drain().then(() => terminal.resume());
  }
}
