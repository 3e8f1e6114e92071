import type {
  ConnectResponse,
  OpenShell,
  Assignment as ProtoAssignment,
  Welcome as ProtoWelcome,
} from '../../gen/vmagent/v1/agent_service.js';
import type { Assignment, HubFrame, ShellOpen, Welcome } from '../model/agent-protocol.js';
import { assertNever } from '../model/assert-never.js';
import { progressFromProto, progressToProto } from './agent-streams.js';
import { protocolError } from './frame-check.js';
import { taskSpecFromProto, taskSpecToProto } from './task.js';

const DEFAULT_SIZE = { columns: 80, rows: 24 };
const DEFAULT_TERM = 'xterm-256color';

/** A frame of Connect to the agent, as a message. */
export function hubFrameToProto(frame: HubFrame): ConnectResponse {
  switch (frame.type) {
    case 'welcome':
      return { frame: { $case: 'welcome', value: welcomeToProto(frame.welcome) } };
    case 'assignment':
      return { frame: { $case: 'assignment', value: assignmentToProto(frame.assignment) } };
    case 'ack':
      return { frame: { $case: 'ack', value: { sequence: frame.sequence } } };
    case 'cancel': {
      const { task, attempt, force } = frame;
      return { frame: { $case: 'cancel', value: { task, attempt, force } } };
    }
    case 'drain':
      return { frame: { $case: 'drain', value: { reconnectAfterMs: frame.reconnectAfterMs } } };
    case 'openShell':
      return { frame: { $case: 'openShell', value: openShellToProto(frame.shell, frame.open) } };
    case 'prepare':
      return { frame: { $case: 'prepare', value: { barrier: frame.barrier } } };
    case 'resume':
      return { frame: { $case: 'resume', value: { barrier: frame.barrier } } };
    case 'forget':
      return { frame: { $case: 'forget', value: { task: frame.task, attempt: frame.attempt } } };
    default:
      return assertNever(frame);
  }
}

/**
 * A frame of Connect to the agent, from a message; undefined for one that this version does not know.
 *
 * @throws HubError PROTOCOL_ERROR or INVALID_FIELD naming the bad field.
 */
export function hubFrameFromProto(proto: ConnectResponse): HubFrame | undefined {
  const { frame } = proto;
  switch (frame?.$case) {
    case 'welcome':
      return { type: 'welcome', welcome: welcomeFromProto(frame.value) };
    case 'assignment':
      return { type: 'assignment', assignment: assignmentFromProto(frame.value) };
    case 'ack':
      return { type: 'ack', sequence: frame.value.sequence };
    case 'cancel':
      return { type: 'cancel', ...frame.value };
    case 'drain':
      return { type: 'drain', reconnectAfterMs: frame.value.reconnectAfterMs };
    case 'openShell':
      return { type: 'openShell', shell: frame.value.shell, open: shellOpenFromProto(frame.value) };
    case 'prepare':
    case 'resume':
      return { type: frame.$case, barrier: frame.value.barrier };
    case 'forget':
      return { type: 'forget', ...frame.value };
    default:
      return undefined;
  }
}

function welcomeToProto(welcome: Welcome): ProtoWelcome {
  return { ...welcome, outputs: welcome.outputs.map(progressToProto) };
}

function welcomeFromProto(proto: ProtoWelcome): Welcome {
  if (proto.sessionGeneration < 1) throw protocolError('welcome.sessionGeneration: at least 1');
  return { ...proto, outputs: proto.outputs.map(progressFromProto) };
}

function assignmentToProto(assignment: Assignment): ProtoAssignment {
  return { ...assignment, env: { ...assignment.env }, spec: taskSpecToProto(assignment.spec) };
}

function assignmentFromProto(proto: ProtoAssignment): Assignment {
  if (proto.task === '' || proto.attempt < 1)
    throw protocolError('assignment.task and assignment.attempt are required');
  if (proto.spec === undefined) throw protocolError('assignment.spec is required');
  const { env, ...rest } = proto;
  const spec = taskSpecFromProto(proto.spec);
  return { ...rest, spec: { ...spec, env: { ...env, ...spec.env } } };
}

function openShellToProto(shell: string, open: ShellOpen): OpenShell {
  const { argv, size, term, env = {} } = open;
  return { shell, open: { agent: '', argv: [...argv], size, term }, env: { ...env } };
}

function shellOpenFromProto(proto: OpenShell): ShellOpen {
  const { argv = [], size = DEFAULT_SIZE, term = '' } = proto.open ?? {};
  return { argv, size, term: term === '' ? DEFAULT_TERM : term, env: proto.env };
}
