import type { AgentHealth as ProtoHealth } from '../../gen/vmagent/v1/agent.js';
import type { ConnectRequest, Hello as ProtoHello } from '../../gen/vmagent/v1/agent_service.js';
import type { AgentHealth } from '../model/agent.js';
import type { AgentFrame, Hello } from '../model/agent-protocol.js';
import { assertNever } from '../model/assert-never.js';
import { reportFromProto, reportToProto } from './agent-report.js';
import { protocolError } from './frame-check.js';

const MAX_HELLO_ATTEMPTS = 10_000;
const MAX_CAPABILITIES = 64;
const MAX_ID_LENGTH = 64;

/** A frame of Connect from the agent, as a message. */
export function agentFrameToProto(frame: AgentFrame): ConnectRequest {
  switch (frame.type) {
    case 'hello':
      return { frame: { $case: 'hello', value: helloToProto(frame.hello) } };
    case 'report':
      return { frame: { $case: 'report', value: reportToProto(frame.report) } };
    case 'health':
      return { frame: { $case: 'health', value: healthToProto(frame.health) } };
    case 'goodbye':
      return { frame: { $case: 'goodbye', value: { reason: frame.reason } } };
    case 'prepared':
      return { frame: { $case: 'prepared', value: { barrier: frame.barrier } } };
    case 'shellRefused': {
      const { shell, message } = frame;
      return { frame: { $case: 'shellRefused', value: { shell, message } } };
    }
    default:
      return assertNever(frame);
  }
}

/**
 * A frame of Connect from the agent, from a message.
 *
 * @throws HubError PROTOCOL_ERROR naming the bad field.
 */
export function agentFrameFromProto(proto: ConnectRequest): AgentFrame {
  const { frame } = proto;
  switch (frame?.$case) {
    case 'hello':
      return { type: 'hello', hello: helloFromProto(frame.value) };
    case 'report':
      return { type: 'report', report: reportFromProto(frame.value) };
    case 'health':
      return { type: 'health', health: healthFromProto(frame.value) };
    case 'goodbye':
      return { type: 'goodbye', reason: frame.value.reason.slice(0, 1024) };
    case 'prepared':
      return { type: 'prepared', barrier: frame.value.barrier };
    case 'shellRefused':
      return {
        type: 'shellRefused',
        shell: frame.value.shell,
        message: frame.value.message.slice(0, 1024),
      };
    default:
      throw protocolError('ConnectRequest.frame is required');
  }
}

/** A health report as a message. */
export function healthToProto(health: AgentHealth): ProtoHealth {
  const { cpu, memory, disk, uptime, ...rest } = health;
  return { ...rest, cpu, memory, disk, uptime, loadAverage: [...health.loadAverage] };
}

/** A health report from a message; texts are cut to their limits. */
export function healthFromProto(proto: ProtoHealth): AgentHealth {
  const { cpu, memory, disk, uptime, ...rest } = proto;
  return {
    ...rest,
    loadAverage: proto.loadAverage.slice(0, 3),
    platform: proto.platform.slice(0, 64),
    arch: proto.arch.slice(0, 64),
    hostname: proto.hostname.slice(0, 255),
    killScope: proto.killScope.slice(0, 64),
    ...(cpu === undefined ? {} : { cpu }),
    ...(memory === undefined ? {} : { memory }),
    ...(disk === undefined ? {} : { disk }),
    ...(uptime === undefined ? {} : { uptime }),
  };
}

function helloToProto(hello: Hello): ProtoHello {
  return {
    ...hello,
    lastSessionGeneration: hello.lastSessionGeneration ?? 0,
    capabilities: [...hello.capabilities],
    attempts: hello.attempts.map(reportToProto),
  };
}

function helloFromProto(proto: ProtoHello): Hello {
  checkHello(proto);
  return { ...proto, attempts: proto.attempts.map(reportFromProto) };
}

function checkHello(proto: ProtoHello): void {
  for (const field of ['incarnation', 'bootId', 'journalId', 'version'] as const) {
    const { length } = proto[field];
    if (length < 1 || length > MAX_ID_LENGTH)
      throw protocolError(`hello.${field}: 1 to ${MAX_ID_LENGTH} characters`);
  }
  if (proto.agentId === '') throw protocolError('hello.agentId is required');
  if (proto.vmGeneration < 1) throw protocolError('hello.vmGeneration: at least 1');
  if (proto.journalSequence < 0) throw protocolError('hello.journalSequence: at least 0');
  if (proto.capabilities.length > MAX_CAPABILITIES)
    throw protocolError(`hello.capabilities: at most ${MAX_CAPABILITIES}`);
  if (proto.attempts.length > MAX_HELLO_ATTEMPTS)
    throw protocolError(`hello.attempts: at most ${MAX_HELLO_ATTEMPTS}`);
}
