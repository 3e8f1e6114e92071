import { Metadata } from '@grpc/grpc-js';
import { expect } from 'chai';
import { AgentInfo } from '../../../gen/vmagent/v1/agent.js';
import { TaskOutcome as ProtoOutcome, Task as ProtoTask } from '../../../gen/vmagent/v1/task.js';
import { ERROR_TABLE, type ErrorReason } from '../../../src/model/error-table.js';
import { HubError } from '../../../src/model/hub-error.js';
import type { TaskOutcome } from '../../../src/model/task.js';
import { TASK_STATES } from '../../../src/model/task.js';
import { agentToProto } from '../../../src/wire/agent.js';
import { eventToProto } from '../../../src/wire/event.js';
import { logToProto } from '../../../src/wire/log.js';
import { hubErrorFromStatus, statusMetadata } from '../../../src/wire/status.js';
import {
  outcomeFromProto,
  outcomeToProto,
  taskStateFromProto,
  taskStateToProto,
  taskToProto,
} from '../../../src/wire/task.js';
import { msFromTimestamp, timestampFromMs } from '../../../src/wire/time.js';
import { sizeText } from '../../../src/wire/vm.js';
import { fakeAgent, fakeTask } from '../../support/fake-hub.js';

const OUTCOME: TaskOutcome = {
  exitCode: 0,
  reason: 'EXITED',
  stdoutBytes: 500_000_000_000,
  stderrBytes: 0,
  stdoutTail: 'ü',
  stderrTail: '',
  killed: true,
  lostBytes: 3,
};

describe('outcomes', () => {
  const results: TaskOutcome['result'][] = [
    undefined,
    { filePath: 'f', content: '', encoding: 'utf8', size: 0 },
    { filePath: 'f', size: 12 },
    { repo: 'r', destination: 'd', branch: 'b', commit: 'c' },
    { destination: 'd', branch: 'b', commit: 'c', remote: 'origin' },
  ];
  for (const result of results)
    it(`come back the same with ${JSON.stringify(result)}`, () => {
      for (const outcome of [OUTCOME, { ...OUTCOME, exitCode: 255 }, withSignal()]) {
        const full = result === undefined ? outcome : { ...outcome, result };
        const bytes = ProtoOutcome.encode(outcomeToProto(full)).finish();
        expect(outcomeFromProto(ProtoOutcome.decode(bytes))).to.deep.equal(full);
      }
    });

  function withSignal(): TaskOutcome {
    const { exitCode: _, ...rest } = OUTCOME;
    return { ...rest, signal: 'SIGKILL', message: 'killed' };
  }
});

describe('tasks', () => {
  it('show all that callers may see and no secret', () => {
    const task = fakeTask({
      ttlMs: 1500,
      maxAttempts: 3,
      attempt: 1,
      state: 'SUCCEEDED',
      endMs: 1_700_000_000_123,
      outcome: OUTCOME,
      spec: { ...fakeTask().spec, secrets: { TOKEN: 'geheim' } },
    });
    const attempts = [
      { number: 1, agent: 'a', state: 'SUCCEEDED', dispatchMs: 1, outcome: OUTCOME },
    ] as const;
    const bytes = ProtoTask.encode(taskToProto(task, { attempts, stateReason: '' })).finish();
    expect(Buffer.from(bytes).includes('geheim')).to.equal(false);
    const seen = ProtoTask.decode(bytes);
    expect(seen).to.deep.include({ ttl: { seconds: 1, nanos: 500_000_000 }, retry: { maxAttempts: 3 } });
    expect(msFromTimestamp(seen.endTime)).to.equal(1_700_000_000_123);
    expect(seen.attempts[0]).to.include({ number: 1, state: 'SUCCEEDED' });
  });

  it('have the same states on both sides', () => {
    for (const state of TASK_STATES) expect(taskStateFromProto(taskStateToProto(state))).to.equal(state);
    expect(taskStateFromProto('STATE_UNSPECIFIED')).to.equal(undefined);
    expect(taskStateFromProto('UNRECOGNIZED')).to.equal(undefined);
  });
});

describe('agents', () => {
  const seen = (more: Parameters<typeof fakeAgent>[1]) =>
    AgentInfo.decode(AgentInfo.encode(agentToProto(fakeAgent('a', more))).finish());

  it('have type and capabilities in their metadata, and nulls before the first report', () => {
    const info = seen({ state: 'OFFLINE', stateReason: 'NEVER_CONNECTED' });
    expect(info).to.deep.include({ status: 'offline', lastSeen: undefined, busy: false });
    expect(info.metadata).to.deep.equal({ type: 'generic', capabilities: [] });
    expect(info.health).to.include({ cpu: undefined, memory: undefined, uptime: undefined });
  });

  it('are busy while a task runs, not while it waits', () => {
    const waiting = { id: 't', type: 'exec', summary: 'x' };
    expect(seen({ currentTasks: [waiting] }).busy).to.equal(false);
    expect(seen({ currentTasks: [{ ...waiting, startedMs: 5 }] })).to.include({
      busy: true,
      status: 'online',
    });
  });

  it('show at most 100 of their tasks', () => {
    const tasks = Array(101).fill({ id: 't', type: 'exec', summary: 'x' });
    expect(seen({ currentTasks: tasks }).currentTasks).to.have.length(100);
  });
});

describe('records and events', () => {
  it('write positions as text and gaps as a stream of their own', () => {
    const base = {
      cursor: '5',
      agent: 'a',
      task: 't',
      attempt: 1,
      stream: 'STDOUT',
      offset: 9,
      timeMs: 1,
    } as const;
    expect(logToProto({ ...base, gapBytes: 7, partial: false })).to.include({ stream: 'GAP', gapBytes: 7 });
    const data = new Uint8Array([9, 8, 7]).subarray(1);
    expect(logToProto({ ...base, gapBytes: 0, partial: true, data }).data).to.deep.equal(Buffer.from([8, 7]));
    const event = {
      type: 'task.ended',
      agent: 'a',
      task: 't',
      state: 'LOST',
      reason: 'r',
      message: 'm',
    } as const;
    expect(eventToProto({ ...event, atMs: 1, sequence: 12 }).cursor).to.equal('12');
  });

  it('keep milliseconds, also before 1970', () => {
    for (const ms of [0, 1, 999, 1_700_000_000_123, -1, -1500])
      expect(msFromTimestamp(timestampFromMs(ms))).to.equal(ms);
    expect(timestampFromMs(-1)).to.deep.equal({ seconds: -1, nanos: 999_000_000 });
  });

  it('write sizes as people do', () => {
    expect([4 * 1024 ** 3, 512 * 1024 ** 2, 1024, 1000, 0].map(sizeText)).to.deep.equal([
      '4G',
      '512M',
      '1K',
      '1000',
      '0',
    ]);
  });
});

describe('errors', () => {
  for (const reason of Object.keys(ERROR_TABLE) as ErrorReason[])
    it(`come back the same: ${reason}`, () => {
      const fields = [{ field: 'timeout', description: '0 to 5' }];
      const err = new HubError(reason, 'why', { metadata: { a: 'b' }, fields, retryAfterMs: 250 });
      const { code, details, metadata } = statusMetadata(err);
      expect(code).to.equal(ERROR_TABLE[reason].grpc);
      const back = hubErrorFromStatus(code, details, metadata);
      expect(back).to.deep.include({
        reason,
        message: 'why',
        metadata: { a: 'b' },
        fields,
        retryAfterMs: 250,
      });
    });

  const foreign: readonly [number, ErrorReason][] = [
    [14, 'HUB_UNREACHABLE'],
    [4, 'DEADLINE_EXCEEDED'],
    [1, 'CANCELLED'],
    [2, 'INTERNAL'],
    [12, 'NOT_SUPPORTED'],
  ];
  for (const [code, reason] of foreign)
    it(`read code ${code} without our details as ${reason}`, () => {
      const broken = new Metadata();
      broken.set('grpc-status-details-bin', Buffer.from([0x0a, 0xff]));
      for (const metadata of [undefined, new Metadata(), broken])
        expect(hubErrorFromStatus(code, 'x', metadata)).to.include({ reason, message: 'x' });
    });

  it('fit into the trailers of every client', () => {
    const long = 'x'.repeat(100_000);
    const fields = [{ field: 'a', description: long }];
    const { details, metadata } = statusMetadata(
      new HubError('TASK_CONFLICT', long, { metadata: { long }, fields }),
    );
    const [bytes] = metadata.get('grpc-status-details-bin');
    expect(details.length + (bytes?.length ?? 0)).to.be.below(8192);
    expect(hubErrorFromStatus(6, details, metadata).reason).to.equal('TASK_CONFLICT');
  });
});
