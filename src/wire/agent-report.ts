import type { AttemptReport as ProtoReport } from '../../gen/vmagent/v1/agent_service.js';
import type { AttemptReport } from '../model/agent-protocol.js';
import { protocolError } from './frame-check.js';
import { outcomeFromProto, outcomeToProto, taskStateFromProto, taskStateToProto } from './task.js';
import { msFromTimestamp, optionalTimestamp } from './time.js';

/** A report as a message. */
export function reportToProto(report: AttemptReport): ProtoReport {
  const { task, attempt, sequence, outcome } = report;
  return {
    task,
    attempt,
    state: taskStateToProto(report.state),
    sequence,
    startTime: optionalTimestamp(report.startMs),
    endTime: optionalTimestamp(report.endMs),
    outcome: outcome === undefined ? undefined : outcomeToProto(outcome),
  };
}

/**
 * A report from a message.
 *
 * @throws HubError PROTOCOL_ERROR naming the bad field.
 */
export function reportFromProto(proto: ProtoReport): AttemptReport {
  const { task, attempt, sequence } = proto;
  const state = taskStateFromProto(proto.state);
  if (task === '' || attempt < 1) throw protocolError('report.task and report.attempt are required');
  if (state === undefined || state === 'QUEUED')
    throw protocolError('report.state is not a state of an attempt');
  const startMs = msFromTimestamp(proto.startTime);
  const endMs = msFromTimestamp(proto.endTime);
  return {
    task,
    attempt,
    state,
    sequence,
    ...(startMs === undefined ? {} : { startMs }),
    ...(endMs === undefined ? {} : { endMs }),
    ...(proto.outcome === undefined ? {} : { outcome: outcomeFromProto(proto.outcome) }),
  };
}
