import { expect } from 'chai';
import {
  CreateAgentRequest,
  CreateTaskRequest,
  ListAgentsRequest,
  RegisterAgentRequest,
  ShellOpen,
  StreamLogsRequest,
  WatchEventsRequest,
} from '../../../gen/vmagent/v1/hub_service.js';
import { ResizeVmRequest } from '../../../gen/vmagent/v1/vm_manager_service.js';
import { HubError } from '../../../src/model/hub-error.js';
import {
  agentFilterFromProto,
  createAgentFromProto,
  keepFromProto,
  registerAgentFromProto,
  resourcesFromProto,
} from '../../../src/wire/agent-requests.js';
import { taskRequestFromProto } from '../../../src/wire/create-task.js';
import { eventQueryFromProto } from '../../../src/wire/event.js';
import { logQueryFromProto } from '../../../src/wire/log.js';
import { decodeNumberToken, decodePageToken, encodePageToken, pageSize } from '../../../src/wire/pages.js';
import { shellInputFromProto, shellOpenFromProto } from '../../../src/wire/shell.js';

function badFields(fn: () => unknown): string[] {
  try {
    fn();
  } catch (err) {
    if (err instanceof HubError) return err.fields.map(({ field }) => field);
    throw err;
  }
  return [];
}

/** One case: what is asked, and the fields that are refused. */
type Case<T> = readonly [T, string[]];

function refuses<T extends object>(
  name: string,
  cases: readonly Case<T>[],
  read: (fields: T) => unknown,
): void {
  describe(name, () => {
    for (const [fields, expected] of cases)
      it(`${JSON.stringify(fields).slice(0, 90)} -> ${expected.join(', ') || 'taken'}`, () => {
        expect(badFields(() => read(fields))).to.deep.equal(expected);
      });
  });
}

const readTask = (fields: Parameters<typeof CreateTaskRequest.fromPartial>[0], idempotencyKey?: string) =>
  taskRequestFromProto(CreateTaskRequest.fromPartial({ type: 'exec', command: 'a', ...fields }), {
    creator: 'tester',
    ...(idempotencyKey === undefined ? {} : { idempotencyKey }),
  });

describe('taskRequestFromProto', () => {
  it('fills in defaults and leaves out what was not given', () => {
    const { request, waitMs } = readTask({});
    const { spec: _, ...rest } = request;
    expect(waitMs).to.equal(0);
    expect(rest).to.deep.equal({
      lane: 'default',
      onFailure: 'CONTINUE',
      after: [],
      requiredCapabilities: [],
      priority: 0,
      labels: {},
      maxAttempts: 1,
      creator: 'tester',
    });
  });

  it('reads everything that is given', () => {
    const { request, waitMs } = readTask({
      id: 'build-1',
      agent: 'my-agent',
      lane: 'ci',
      onFailure: 'stop',
      after: ['a', 'b', 'a'],
      retry: { maxAttempts: 3 },
      requiredCapabilities: ['git'],
      priority: -5,
      ttl: { seconds: 60, nanos: 500_000_000 },
      wait: { seconds: 30, nanos: 0 },
      labels: { team: 'x' },
      idempotencyKey: 'field',
    });
    expect(waitMs).to.equal(30_000);
    expect(request).to.deep.include({ id: 'build-1', agent: 'my-agent', lane: 'ci', onFailure: 'STOP' });
    expect(request).to.deep.include({ after: ['a', 'b'], maxAttempts: 3, priority: -5, ttlMs: 60_500 });
    expect(request.idempotencyKey).to.equal('field');
  });

  it('takes the idempotency key of the metadata when the field is empty', () => {
    expect(readTask({}, 'header').request.idempotencyKey).to.equal('header');
    expect(badFields(() => readTask({}, 'ü'))).to.deep.equal(['idempotencyKey']);
  });
});

refuses(
  'a task request',
  [
    [{ command: '', timeout: -1, priority: 101 }, ['timeout', 'command', 'priority']],
    [{ agent: '../etc' }, ['agent']],
    [{ id: '' }, []],
    [{ id: '-x' }, ['id']],
    [{ id: 'x'.repeat(129) }, ['id']],
    [{ lane: 'a b' }, ['lane']],
    [{ onFailure: 'STOP' }, []],
    [{ onFailure: 'explode' }, ['onFailure']],
    [{ after: ['a b'] }, ['after']],
    [{ after: Array.from({ length: 101 }, (_, i) => `t${i}`) }, ['after']],
    [{ id: 'me', after: ['me'] }, ['after']],
    [{ retry: { maxAttempts: 11 } }, ['retry.maxAttempts']],
    [{ requiredCapabilities: [''] }, ['requiredCapabilities']],
    [{ requiredCapabilities: Array(33).fill('x') }, ['requiredCapabilities']],
    [{ requiredCapabilities: ['x'.repeat(64)] }, ['requiredCapabilities']],
    [{ ttl: { seconds: 0, nanos: 0 } }, ['ttl']],
    [{ wait: { seconds: 601, nanos: 0 } }, ['wait']],
    [{ wait: { seconds: -1, nanos: 0 } }, ['wait']],
    [{ labels: { ['k'.repeat(64)]: '' } }, ['labels']],
    [{ labels: { k: 'v'.repeat(256) } }, ['labels']],
    [{ idempotencyKey: 'k'.repeat(256) }, ['idempotencyKey']],
  ] as Case<Parameters<typeof CreateTaskRequest.fromPartial>[0]>[],
  readTask,
);

refuses(
  'an agent to be made',
  [
    [{ name: 'my-agent', memory: '512MiB', disk: '20g', cpu: 256 }, []],
    [{ name: '', cpu: 257, memory: 'lots', disk: '-1G' }, ['name', 'cpu', 'memory', 'disk']],
    [{ name: 'A' }, ['name']],
    [{ name: 'a', type: 'x'.repeat(64), concurrency: 65 }, ['type', 'concurrency']],
    [{ name: 'a', timeout: { seconds: 3601, nanos: 0 } }, ['timeout']],
    [{ name: '-snapshot' }, ['name']],
    [{ name: 'a,file=/etc/shadow' }, ['name']],
    [{ name: 'a', network: 'isolated', profile: 'builder' }, []],
    [{ name: 'a', network: 'moon', profile: '../x' }, ['network', 'profile']],
    [
      {
        name: 'a',
        ttl: { seconds: 1, nanos: 0 },
        onExpire: 'destroy',
        idleStop: { seconds: 0, nanos: 1_000_000 },
      },
      [],
    ],
    [{ name: 'a', ttl: { seconds: 0, nanos: 0 }, idleStop: { seconds: -5, nanos: 0 } }, ['ttl', 'idleStop']],
    [{ name: 'a', ttl: { seconds: 365 * 86_400 + 1, nanos: 0 } }, ['ttl']],
    [{ name: 'a', ttl: { seconds: 1, nanos: 0 }, onExpire: 'explode' }, ['onExpire']],
    [{ name: 'a', onExpire: 'stop' }, ['onExpire']],
    [{ name: 'a', metadata: { note: 'x'.repeat(16_384) } }, ['metadata']],
    [{ name: 'a', metadata: { deep: nested(20) } }, ['metadata']],
    [{ name: 'a', metadata: { number: Number.NaN } }, ['metadata']],
  ] as Case<Parameters<typeof CreateAgentRequest.fromPartial>[0]>[],
  (fields) => createAgentFromProto(CreateAgentRequest.fromPartial(fields)),
);

refuses(
  'resources that a machine is to get',
  [
    [{ cpu: 4, memory: '8G', disk: '40GiB' }, []],
    [{ cpu: -1, memory: '-snapshot', disk: '1G,file=/etc/shadow' }, ['cpu', 'memory', 'disk']],
  ] as Case<Parameters<typeof ResizeVmRequest.fromPartial>[0]>[],
  (fields) => resourcesFromProto(ResizeVmRequest.fromPartial({ agent: 'a', ...fields })),
);

describe('the life of a machine to be made', () => {
  const read = (fields: Parameters<typeof CreateAgentRequest.fromPartial>[0]) =>
    createAgentFromProto(CreateAgentRequest.fromPartial({ name: 'a', ...fields })).life;

  it('is read in milliseconds, with stop at its end', () => {
    expect(read({})).to.equal(undefined);
    expect(read({ ttl: { seconds: 90, nanos: 500_000_000 } })).to.deep.equal({
      ttlMs: 90_500,
      onExpire: 'stop',
    });
    const idleStop = { seconds: 60, nanos: 0 };
    expect(read({ idleStop })).to.deep.equal({ idleStopMs: 60_000, onExpire: 'stop' });
  });

  it('is kept for the usual time when none is asked', () => {
    expect(keepFromProto(undefined)).to.equal(undefined);
    expect(keepFromProto({ seconds: 60, nanos: 0 })).to.equal(60_000);
    expect(badFields(() => keepFromProto({ seconds: 0, nanos: 0 }))).to.deep.equal(['duration']);
  });
});

refuses(
  'a query of output',
  [
    [{}, ['task']],
    [{ task: 't', agent: 'a' }, ['task']],
    [{ task: 't', lines: 1_000_001 }, ['lines']],
    [{ task: 't', lines: -1, cursor: 'x' }, ['lines', 'cursor']],
    [{ agent: 'A' }, ['agent']],
    [{ task: 't', streams: ['STREAM_UNSPECIFIED'] }, ['streams']],
    [{ task: 't', format: 'UNRECOGNIZED' }, ['format']],
    [{ task: 't', streams: ['STDOUT', 'GAP'], lines: 0, cursor: '12' }, []],
  ] as Case<Parameters<typeof StreamLogsRequest.fromPartial>[0]>[],
  (fields) => logQueryFromProto(StreamLogsRequest.fromPartial(fields)),
);

refuses(
  'a query of events',
  [
    [{}, []],
    [{ cursor: '-1' }, ['cursor']],
    [{ agent: 'A', task: 'a b', types: [''] }, ['agent', 'task', 'types']],
  ],
  (fields) => eventQueryFromProto(WatchEventsRequest.fromPartial(fields)),
);

refuses(
  'a terminal',
  [
    [{ agent: 'a' }, []],
    [{ agent: '', argv: ['\0'], term: 'x'.repeat(65) }, ['agent', 'argv', 'term']],
    [{ agent: 'a', size: { columns: 0, rows: 10_001 } }, ['size.columns', 'size.rows']],
  ] as Case<Parameters<typeof ShellOpen.fromPartial>[0]>[],
  (fields) => shellOpenFromProto(ShellOpen.fromPartial(fields)),
);

describe('registerAgentFromProto', () => {
  const read = (metadata: Record<string, unknown> | undefined) =>
    registerAgentFromProto(RegisterAgentRequest.fromPartial({ agentId: 'a', metadata })).metadata;

  it('reads capabilities as an array or a comma list', () => {
    const expected = { type: 'builder', capabilities: ['git', 'node'], extra: { a: [1, null, true] } };
    expect(read({ ...expected, capabilities: ['git', 'node', 'git'] })).to.deep.equal(expected);
    expect(read({ ...expected, capabilities: ' git, node,,' })).to.deep.equal(expected);
    expect(read(undefined)).to.deep.equal({ type: 'generic', capabilities: [] });
  });

  it('refuses other shapes', () => {
    expect(badFields(() => read({ capabilities: [1], type: 5 }))).to.have.members([
      'metadata.capabilities',
      'metadata.type',
    ]);
  });
});

describe('logQueryFromProto', () => {
  it('shows the last 100 lines of an agent, and all of a task, unless told otherwise', () => {
    const lines = (fields: Parameters<typeof StreamLogsRequest.fromPartial>[0]) =>
      logQueryFromProto(StreamLogsRequest.fromPartial(fields)).lines;
    expect([lines({ agent: 'a' }), lines({ task: 't' }), lines({ agent: 'a', cursor: '5' })]).to.deep.equal([
      100,
      undefined,
      undefined,
    ]);
    expect([lines({ agent: 'a', lines: 0 }), lines({ task: 't', lines: 7 })]).to.deep.equal([0, 7]);
  });
});

describe('shellInputFromProto', () => {
  it('refuses a second open and too much input', () => {
    const open = { $case: 'open', value: ShellOpen.fromPartial({ agent: 'a' }) } as const;
    expect(badFields(() => shellInputFromProto({ message: open }))).to.deep.equal(['message']);
    const input = { $case: 'input', value: Buffer.alloc(65_537) } as const;
    expect(badFields(() => shellInputFromProto({ message: input }))).to.deep.equal(['input']);
  });
});

describe('pages', () => {
  it('gives positions back and refuses what was changed', () => {
    expect(decodePageToken(encodePageToken('agent-7'))).to.equal('agent-7');
    expect(decodeNumberToken(encodePageToken('42'))).to.equal(42);
    expect(decodePageToken('')).to.equal(undefined);
    for (const token of ['!', 'NDI=', 'NDJ', encodePageToken('x'.repeat(300))])
      expect(
        badFields(() => decodePageToken(token)),
        token,
      ).to.deep.equal(['pageToken']);
    expect(badFields(() => decodeNumberToken(encodePageToken('x')))).to.deep.equal(['pageToken']);
  });

  it('limits the size', () => {
    expect([pageSize(0, 50, 500), pageSize(500, 50, 500)]).to.deep.equal([50, 500]);
    for (const size of [-1, 501])
      expect(badFields(() => pageSize(size, 50, 500))).to.deep.equal(['pageSize']);
    expect(
      badFields(() => agentFilterFromProto(ListAgentsRequest.fromPartial({ status: 'asleep' }))),
    ).to.deep.equal(['status']);
  });
});

function nested(depth: number): unknown {
  return depth === 0 ? 'end' : { next: nested(depth - 1) };
}
