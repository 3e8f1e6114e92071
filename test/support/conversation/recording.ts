import { once } from 'node:events';
import { connect } from 'node:net';
import { type Channel, openChannel } from '../../../src/agent/link/channel.js';
import { Duplex } from '../../../src/agent/link/duplex.js';
import { AsyncQueue } from '../../../src/base/async-queue.js';
import type { HubFrame, OutputFrame } from '../../../src/model/agent-protocol.js';
import type { OutputProgress } from '../../../src/model/output.js';
import {
  agentFrameToProto,
  hubFrameFromProto,
  outputAcksFromProto,
  outputFrameToProto,
} from '../../../src/wire/agent-protocol.js';
import { type AgentFiles, ATTEMPT, OUTCOME } from './agent-files.js';
import { AGENT, HubScene, type HubTemplate, STDERR, STDOUT } from './hub-scene.js';
import { TapProxy } from './tap-proxy.js';

/** Bytes of a connection preface, and of the header of a frame, of HTTP/2. */
const PREFACE_BYTES = 24;
const HEADER_BYTES = 9;

/** What an agent sent, from the connection to its end. */
export interface Recording {
  readonly bytes: Buffer;
  /** How many of them came before the agent was handed the task. */
  readonly greeting: number;
}

/** Holds the whole conversation of one task with a hub, by the real client, and answers the agent's half of it. */
export async function record(template: HubTemplate, files: AgentFiles): Promise<Recording> {
  const scene = await HubScene.open(template);
  const tap = await TapProxy.listen(scene.port);
  const options = { door: `127.0.0.1:${tap.port}`, agentId: AGENT, token: template.token };
  const channel = await openChannel(options, AbortSignal.timeout(5000));
  try {
    const greeting = await converse(channel, tap, files);
    return { bytes: tap.up, greeting };
  } finally {
    channel.client.close();
    await tap.close();
    await scene.close();
  }
}

/** Where the frames that a client sent begin and end. */
export function clientFrames(bytes: Buffer): number[] {
  return [0, ...frames(bytes, PREFACE_BYTES)];
}

/** Where the frames that a server sent begin and end. */
export function serverFrames(bytes: Buffer): number[] {
  return frames(bytes, 0);
}

function frames(bytes: Buffer, from: number): number[] {
  const bounds = [from];
  for (let at = from; at + HEADER_BYTES <= bytes.length; ) {
    at += HEADER_BYTES + bytes.readUIntBE(at, 3);
    if (at <= bytes.length) bounds.push(at);
  }
  return bounds;
}

/** Sends the first `count` bytes of a recording to a hub and breaks the connection: at its end, or by a reset. */
export async function replay(scene: HubScene, recording: Recording, count: number, how: 'FIN' | 'RST') {
  const { bytes, greeting } = recording;
  const socket = connect({ port: scene.port, host: '127.0.0.1', noDelay: true });
  socket.on('error', () => {});
  socket.resume();
  await once(socket, 'connect');
  await send(socket, bytes.subarray(0, Math.min(count, greeting)));
  if (count > greeting) {
    await scene.assigned(AbortSignal.timeout(5000));
    await send(socket, bytes.subarray(greeting, count));
  }
  if (how === 'FIN') socket.end();
  else socket.resetAndDestroy();
  if (!socket.closed) await once(socket, 'close');
}

/** Answers how many bytes were sent until the agent was handed the task. */
async function converse(channel: Channel, tap: TapProxy, files: AgentFiles): Promise<number> {
  const frames = new AsyncQueue<HubFrame>();
  const { client, metadata } = channel;
  const session = new Duplex(client.connect(metadata()), (message) => {
    const frame = hubFrameFromProto(message);
    if (frame !== undefined) frames.push(frame);
  });
  await session.write(agentFrameToProto({ type: 'hello', hello: helloOf(files.journalId) }));
  const generation = (await next(frames, 'welcome')).welcome.sessionGeneration;
  await next(frames, 'assignment');
  const greeting = tap.up.length;
  await session.write(reportOf({ state: 'RUNNING', sequence: 1, startMs: 1000 }));
  const acks = new AsyncQueue<readonly OutputProgress[]>();
  const output = new Duplex(client.streamOutput(metadata()), (m) => acks.push(outputAcksFromProto(m)));
  for (const frame of outputOf(generation)) await output.write(outputFrameToProto(frame));
  const end = { state: 'SUCCEEDED', sequence: 2, startMs: 1000, endMs: 2000, outcome: OUTCOME } as const;
  await session.write(reportOf(end));
  while ((await next(frames, 'ack')).sequence < 2) {}
  output.end();
  session.end();
  await Promise.all([output.closed, session.closed]);
  return greeting;
}

async function next<T extends HubFrame['type']>(
  frames: AsyncQueue<HubFrame>,
  type: T,
): Promise<Extract<HubFrame, { type: T }>> {
  for await (const frame of frames) if (frame.type === type) return frame as Extract<HubFrame, { type: T }>;
  throw new Error(`the session ended before a frame ${type}`);
}

function helloOf(journalId: string) {
  const ids = { agentId: AGENT, incarnation: 'i', bootId: 'b', journalId, version: '1', killScope: 'cgroup' };
  return { ...ids, vmGeneration: 1, journalSequence: 0, protocol: 1, capabilities: [], attempts: [] };
}

type Report = Parameters<typeof agentFrameToProto>[0] & { type: 'report' };

function reportOf(facts: Omit<Report['report'], 'task' | 'attempt'>) {
  return agentFrameToProto({ type: 'report', report: { ...ATTEMPT, ...facts } });
}

function outputOf(sessionGeneration: number): OutputFrame[] {
  const chunk = (stream: 'STDOUT' | 'STDERR', offset: number, text: string): OutputFrame => ({
    type: 'chunk',
    chunk: { ...ATTEMPT, stream, offset, timeMs: 1100, data: Buffer.from(text) },
  });
  const [one, two] = STDOUT;
  return [
    { type: 'open', sessionGeneration },
    chunk('STDOUT', 0, one),
    chunk('STDERR', 0, STDERR),
    chunk('STDOUT', one.length, two),
  ];
}

/** Resolves when a hub in this process has most likely read the bytes: a reset throws away what it has not. */
async function send(socket: ReturnType<typeof connect>, bytes: Buffer): Promise<void> {
  if (bytes.length > 0) await new Promise((resolve) => socket.write(bytes, resolve));
  for (let turn = 0; turn < 4; turn += 1) await new Promise(setImmediate);
}
