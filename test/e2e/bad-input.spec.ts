import { once } from 'node:events';
import { connect } from 'node:net';
import { status } from '@grpc/grpc-js';
import { expect } from 'chai';
import {
  CancelTaskRequest,
  CreateAgentRequest,
  CreateTaskRequest,
  GetAgentStatusRequest,
  GetTaskRequest,
  RegisterAgentRequest,
} from '../../gen/vmagent/v1/hub_service.js';
import {
  CreateSnapshotRequest,
  GetConsoleRequest,
  KeepVmAliveRequest,
  ResizeVmRequest,
  RestoreSnapshotRequest,
} from '../../gen/vmagent/v1/vm_manager_service.js';
import { runCommand } from '../support/e2e/command.js';
import { CLI, HubProcess, type RestAnswer } from '../support/e2e/hub-process.js';
import { at, list } from '../support/e2e/json-path.js';
import { rawCall } from '../support/e2e/raw-grpc.js';

/** One bad call at one door, and what has to come back. */
interface Case {
  readonly name: string;
  readonly code: number;
  readonly http: number;
  /** What the message has to say. */
  readonly says: RegExp;
  /** The field that BadRequest names. */
  readonly field?: string;
  readonly rest?: readonly [method: string, path: string, body?: unknown];
  readonly grpc?: readonly [method: string, request: { finish(): Uint8Array }];
}

const task = (fields: Parameters<typeof CreateTaskRequest.fromPartial>[0]) =>
  [
    'Hub/CreateTask',
    CreateTaskRequest.encode(CreateTaskRequest.fromPartial({ agent: 'box', ...fields })),
  ] as const;
const post = (body: unknown) => ['POST', '/agents/box/task', body] as const;
const { INVALID_ARGUMENT, NOT_FOUND, ALREADY_EXISTS, PERMISSION_DENIED } = status;
const bad = { code: INVALID_ARGUMENT, http: 400 } as const;
const missing = { code: NOT_FOUND, http: 404 } as const;
const exec = { type: 'exec', command: 'true' };
const manyBytes = 'x'.repeat(131_073);

const machine = (fields: Parameters<typeof CreateAgentRequest.fromPartial>[0]) =>
  [
    'Hub/CreateAgent',
    CreateAgentRequest.encode(CreateAgentRequest.fromPartial({ name: 'new', ...fields })),
  ] as const;
const wish = (fields: object) => ['POST', '/agents', { name: 'new', ...fields }] as const;
const seconds = (count: number) => ({ seconds: count, nanos: 0 });

/** Machines that cannot be made as they are wished for. */
const BAD_MACHINES: readonly Case[] = [
  ...['-snapshot', 'a,file=/etc/shadow', '../a', 'a b'].map((name) => ({
    name: `the name ${name} of a machine`,
    ...bad,
    says: /name: 1 to 63 characters/,
    field: 'name',
    rest: wish({ name }),
    grpc: machine({ name }),
  })),
  {
    name: 'an unknown network',
    ...bad,
    says: /network: one of host, internet, isolated/,
    field: 'network',
    rest: wish({ network: 'x,y' }),
    grpc: machine({ network: 'x,y' }),
  },
  {
    name: 'an unknown profile',
    ...bad,
    says: /profile: one of builder/,
    field: 'profile',
    rest: wish({ profile: 'none' }),
    grpc: machine({ profile: 'none' }),
  },
  {
    name: 'no ttl at all',
    ...bad,
    says: /ttl: .*more than 0 s/,
    field: 'ttl',
    rest: wish({ ttl: '0s' }),
    grpc: machine({ ttl: seconds(0) }),
  },
  {
    name: 'a negative idle stop',
    ...bad,
    says: /idleStop: .*more than 0 s/,
    field: 'idleStop',
    rest: wish({ idleStop: '-5s' }),
    grpc: machine({ idleStop: seconds(-5) }),
  },
  {
    name: 'an unknown end',
    ...bad,
    says: /onExpire: one of stop, destroy, snapshot/,
    field: 'onExpire',
    rest: wish({ ttl: '9s', onExpire: 'boom' }),
    grpc: machine({ ttl: seconds(9), onExpire: 'boom' }),
  },
  {
    name: 'a size that is none',
    ...bad,
    says: /memory: a size/,
    field: 'memory',
    rest: wish({ memory: '2x' }),
    grpc: machine({ memory: '2x' }),
  },
  {
    name: 'new resources that are none',
    ...bad,
    says: /disk: a size/,
    field: 'disk',
    rest: ['POST', '/agents/box/vm:resize', { disk: '1G,file=/etc/shadow' }],
    grpc: [
      'VmManager/ResizeVm',
      ResizeVmRequest.encode(ResizeVmRequest.fromPartial({ agent: 'box', disk: '1G,file=/etc/shadow' })),
    ],
  },
  {
    name: 'a keep-alive of no time',
    ...bad,
    says: /duration: .*more than 0 s/,
    field: 'duration',
    rest: ['POST', '/agents/box/vm:keepAlive', { duration: '0s' }],
    grpc: [
      'VmManager/KeepVmAlive',
      KeepVmAliveRequest.encode(KeepVmAliveRequest.fromPartial({ agent: 'box', duration: seconds(0) })),
    ],
  },
  {
    name: 'the console of nobody',
    ...missing,
    says: /nobody/,
    rest: ['GET', '/agents/nobody/console'],
    grpc: [
      'VmManager/GetConsole',
      GetConsoleRequest.encode(GetConsoleRequest.fromPartial({ agent: 'nobody' })),
    ],
  },
];

const CASES: readonly Case[] = [
  ...BAD_MACHINES,
  { name: 'a number for a text', ...bad, says: /command/, rest: post({ type: 'exec', command: 5 }) },
  { name: 'a text for a number', ...bad, says: /timeout/, rest: post({ ...exec, timeout: 'soon' }) },
  {
    name: 'an object for an array',
    ...bad,
    says: /args/,
    rest: post({ type: 'script', script: '1', args: {} }),
  },
  { name: 'broken JSON', ...bad, says: /./, rest: post('{"type":"exec",') },
  { name: 'no JSON at all', ...bad, says: /./, rest: post('hello') },
  {
    name: 'an unknown task type',
    ...bad,
    says: /type.*exec.*git:clone/s,
    field: 'type',
    rest: post({ type: 'dance' }),
    grpc: task({ type: 'dance' }),
  },
  { name: 'no task type', ...bad, says: /type/, field: 'type', rest: post({}), grpc: task({}) },
  {
    name: 'no command',
    ...bad,
    says: /command/,
    field: 'command',
    rest: post({ type: 'exec' }),
    grpc: task({ type: 'exec' }),
  },
  {
    name: 'no script',
    ...bad,
    says: /script/,
    field: 'script',
    rest: post({ type: 'script' }),
    grpc: task({ type: 'script' }),
  },
  {
    name: 'no repository',
    ...bad,
    says: /repo/,
    field: 'repo',
    rest: post({ type: 'git:clone' }),
    grpc: task({ type: 'git:clone' }),
  },
  {
    name: 'an option in place of a repository',
    ...bad,
    says: /repo/,
    field: 'repo',
    rest: post({ type: 'git:clone', repo: '--upload-pack=touch /tmp/x' }),
    grpc: task({ type: 'git:clone', repo: '--upload-pack=touch /tmp/x' }),
  },
  {
    name: 'no file',
    ...bad,
    says: /filePath/,
    field: 'filePath',
    rest: post({ type: 'file:read' }),
    grpc: task({ type: 'file:read' }),
  },
  {
    name: 'a negative time-out',
    ...bad,
    says: /timeout.*0/s,
    field: 'timeout',
    rest: post({ ...exec, timeout: -1 }),
    grpc: task({ ...exec, timeout: -1 }),
  },
  {
    name: 'a command that is too long',
    ...bad,
    says: /command.*131072/s,
    field: 'command',
    rest: post({ type: 'exec', command: manyBytes }),
    grpc: task({ type: 'exec', command: manyBytes }),
  },
  {
    name: 'NUL in a text',
    ...bad,
    says: /cwd.*NUL/s,
    field: 'cwd',
    rest: post({ ...exec, cwd: 'a\0b' }),
    grpc: task({ ...exec, cwd: 'a\0b' }),
  },
  {
    name: 'a bad task id',
    ...bad,
    says: /id/,
    field: 'id',
    rest: post({ ...exec, id: '../x' }),
    grpc: task({ ...exec, id: '../x' }),
  },
  {
    name: 'a bad lane',
    ...bad,
    says: /lane/,
    field: 'lane',
    rest: post({ ...exec, lane: ' ' }),
    grpc: task({ ...exec, lane: ' ' }),
  },
  {
    name: 'a wait that is too long',
    ...bad,
    says: /wait.*600/s,
    field: 'wait',
    rest: post({ ...exec, wait: '3600s' }),
    grpc: task({ ...exec, wait: { seconds: 3600, nanos: 0 } }),
  },
  {
    name: 'a bad agent name',
    ...bad,
    says: /name.*a-z/s,
    field: 'name',
    rest: ['POST', '/agents', { name: 'Not_OK' }],
    grpc: ['Hub/CreateAgent', CreateAgentRequest.encode(CreateAgentRequest.fromPartial({ name: 'Not_OK' }))],
  },
  {
    name: 'an agent name that is too long',
    ...bad,
    says: /agentId.*63/s,
    field: 'agentId',
    rest: ['POST', '/agents/register', { agentId: 'a'.repeat(64) }],
    grpc: [
      'Hub/RegisterAgent',
      RegisterAgentRequest.encode(RegisterAgentRequest.fromPartial({ agentId: 'a'.repeat(64) })),
    ],
  },
  {
    name: 'memory that is no size',
    ...bad,
    says: /memory.*4G/s,
    field: 'memory',
    rest: ['POST', '/agents', { name: 'ok', memory: '2x' }],
    grpc: [
      'Hub/CreateAgent',
      CreateAgentRequest.encode(CreateAgentRequest.fromPartial({ name: 'ok', memory: '2x' })),
    ],
  },
  {
    name: 'an unknown agent',
    ...missing,
    says: /nobody/,
    rest: ['GET', '/agents/nobody/status'],
    grpc: ['Hub/GetAgentStatus', GetAgentStatusRequest.encode({ agent: 'nobody' })],
  },
  {
    name: 'a task for an unknown agent',
    ...missing,
    says: /nobody/,
    rest: ['POST', '/agents/nobody/task', exec],
    grpc: task({ ...exec, agent: 'nobody' }),
  },
  {
    name: 'an unknown task',
    ...missing,
    says: /no-such-task/,
    rest: ['GET', '/tasks/no-such-task'],
    grpc: ['Hub/GetTask', GetTaskRequest.encode({ task: 'no-such-task' })],
  },
  {
    name: 'a cancel of an unknown task',
    ...missing,
    says: /no-such-task/,
    rest: ['POST', '/tasks/no-such-task:cancel', {}],
    grpc: ['Hub/CancelTask', CancelTaskRequest.encode({ task: 'no-such-task', force: false })],
  },
  {
    name: 'an unknown task in after',
    ...missing,
    says: /no-such-task/,
    rest: post({ ...exec, after: ['no-such-task'] }),
    grpc: task({ ...exec, after: ['no-such-task'] }),
  },
  {
    name: 'a snapshot of an agent without a machine',
    ...missing,
    says: /box/,
    rest: ['POST', '/agents/box/snapshots', {}],
    grpc: [
      'VmManager/CreateSnapshot',
      CreateSnapshotRequest.encode(CreateSnapshotRequest.fromPartial({ agent: 'box' })),
    ],
  },
  {
    name: 'a restore without the admin token',
    code: PERMISSION_DENIED,
    http: 403,
    says: /admin/,
    rest: ['POST', '/agents/box/snapshots/clean:restore', {}],
    grpc: ['VmManager/RestoreSnapshot', RestoreSnapshotRequest.encode({ agent: 'box', snapshot: 'clean' })],
  },
  {
    name: 'a second agent of one name',
    code: ALREADY_EXISTS,
    http: 409,
    says: /box/,
    rest: ['POST', '/agents', { name: 'box' }],
    grpc: ['Hub/CreateAgent', CreateAgentRequest.encode(CreateAgentRequest.fromPartial({ name: 'box' }))],
  },
  {
    name: 'another task of one id',
    code: ALREADY_EXISTS,
    http: 409,
    says: /first/,
    rest: post({ type: 'exec', command: 'false', id: 'first' }),
    grpc: task({ type: 'exec', command: 'false', id: 'first' }),
  },
  { name: 'an unknown path', ...missing, says: /./, rest: ['GET', '/no/such/path'] },
];

describe('bad input', function () {
  this.timeout(60_000);
  let hub: HubProcess;

  before(async () => {
    hub = await HubProcess.start();
    await hub.rest('POST', '/agents/register', { agentId: 'box' });
    expect((await hub.rest('POST', '/agents/box/task', { ...exec, id: 'first' })).status).to.equal(200);
  });
  after(() => hub?.close());

  afterEach(async () => {
    expect((await hub.rest('GET', '/health')).at('status')).to.equal('healthy');
    const tasks = list((await hub.rest('GET', '/agents/box/tasks')).json, 'tasks');
    expect(tasks.map((found) => at(found, 'id'))).to.deep.equal(['first']);
  });

  describe('by REST', () => {
    for (const { name, rest, code, http, says, field } of CASES) {
      if (rest === undefined) continue;
      it(`answers ${http} to ${name}`, async () => {
        const answer = await hub.rest(...rest);
        expect(answer.status, answer.text).to.equal(http);
        expect(answer.at('code')).to.equal(code);
        expect(answer.at('message')).to.match(says);
        expect(answer.text).not.to.match(/\bat .*\.(ts|js|mjs):\d+/);
        if (field !== undefined) expect(badFields(answer)).to.include(field);
      });
    }

    it('answers 413 to a body that is too large, as soon as it is announced', async () => {
      const headers = `Host: localhost\r\nContent-Type: application/json\r\nContent-Length: ${9 * 1024 ** 2}`;
      const socket = connect(hub.httpPort, '127.0.0.1');
      socket.write(`POST /agents/box/task HTTP/1.1\r\n${headers}\r\n\r\n{"type":`);
      const [answer] = (await once(socket, 'data')) as [Buffer];
      socket.destroy();
      expect(answer.toString())
        .to.match(/^HTTP\/1\.1 413 /)
        .and.to.match(/8388608 bytes/);
    });

    it('survives bytes that are no HTTP', async () => {
      const socket = connect(hub.httpPort, '127.0.0.1');
      socket.end('\0\x01\x02 nonsense\r\n\r\n');
      await new Promise((resolve) => socket.once('close', resolve).once('error', resolve).resume());
    });
  });

  describe('by gRPC', () => {
    for (const { name, grpc, code, says, field } of CASES) {
      if (grpc === undefined) continue;
      it(`answers ${status[code]} to ${name}`, async () => {
        const [method, message] = grpc;
        const answer = await rawCall(hub.grpcAddress, `/vmagent.v1.${method}`, message.finish());
        expect(status[answer.code], answer.message).to.equal(status[code]);
        expect(answer.message).to.match(says);
        expect(answer.reason).to.match(/^[A-Z_]+$/);
        if (field !== undefined) expect(answer.fields).to.include(field);
      });
    }

    it('refuses a truncated message', async () => {
      const [method, message] = task(exec);
      const cut = message.finish().subarray(0, 3);
      const answer = await rawCall(hub.grpcAddress, `/vmagent.v1.${method}`, cut);
      expect(answer.code).to.be.oneOf([status.INVALID_ARGUMENT, status.INTERNAL]);
    });

    it('refuses a message over 4 MiB', async () => {
      const [method, message] = task({ ...exec, script: 'x'.repeat(5 * 1024 ** 2) });
      const answer = await rawCall(hub.grpcAddress, `/vmagent.v1.${method}`, message.finish());
      expect(status[answer.code]).to.equal('RESOURCE_EXHAUSTED');
    });

    it('does not know a method that there is not', async () => {
      const answer = await rawCall(hub.grpcAddress, '/vmagent.v1.Hub/NoSuchMethod');
      expect(status[answer.code]).to.equal('UNIMPLEMENTED');
    });

    it('survives bytes that are no gRPC', async () => {
      const socket = connect(hub.grpcPort, '127.0.0.1');
      socket.end('GET / HTTP/1.1\r\n\r\n');
      await new Promise((resolve) => socket.once('close', resolve).once('error', resolve).resume());
    });
  });

  describe('at the start of a hub', () => {
    it('refuses a second hub on the same home', async () => {
      const ports = ['--grpc', '127.0.0.1:0', '--http', '127.0.0.1:0', '--dashboard', '127.0.0.1:0'];
      const second = await hub.cli(['hub', ...ports], { timeoutMs: 15_000 });
      expect(second.exitCode).not.to.equal(0);
      expect(second.stderr)
        .to.include(hub.home)
        .and.to.match(/another hub|runs|lock/i);
    });

    it('names the port that is taken', async () => {
      const other = await HubProcess.start();
      try {
        await other.stop();
        const env = { ...other.env, HTTP_PORT: `${hub.httpPort}` };
        const second = await runCommand(CLI, ['hub'], { env, timeoutMs: 15_000 });
        expect(second.exitCode).not.to.equal(0);
        expect(second.stderr)
          .to.include(`${hub.httpPort}`)
          .and.to.match(/in use|taken|EADDRINUSE/i);
      } finally {
        await other.close();
      }
    });

    it('lists all bad settings at once', async () => {
      const env = { ...hub.env, HTTP_PORT: 'none', VM_AGENT_LOG_LEVEL: 'loud' };
      const second = await runCommand(CLI, ['hub'], { env, timeoutMs: 15_000 });
      expect(second.exitCode).to.equal(78);
      expect(second.stderr)
        .to.match(/http/i)
        .and.to.match(/log.?level/i);
    });

    it('refuses to listen beyond this computer', async () => {
      const second = await hub.cli(['hub', '--grpc', '0.0.0.0:0'], { timeoutMs: 15_000 });
      expect(second.exitCode).not.to.equal(0);
      expect(second.stderr).to.match(/grpc.*loopback/);
    });
  });

  describe('by the CLI', () => {
    const cases: readonly (readonly [args: readonly string[], code: number, says: RegExp])[] = [
      [['lst'], 2, /lst[\s\S]*list/],
      [['create'], 2, /name/i],
      [['create', 'ok', '--memory', '2x'], 2, /memory/],
      [['create', 'Not_OK'], 2, /name/],
      [['task', 'box', '{'], 2, /JSON/],
      [['task', 'box', '{"type":"dance"}'], 2, /type/],
      [['status', 'nobody'], 3, /nobody/],
    ];
    for (const [args, code, says] of cases) {
      it(`ends with ${code} after: ${args.join(' ')}`, async () => {
        const result = await hub.cli(args);
        expect(result.exitCode, result.stderr).to.equal(code);
        expect(result.stderr)
          .to.match(says)
          .and.not.to.match(/\n\s+at /);
        expect(result.stdout).to.equal('');
      });
    }

    it('says in time that no hub is there', async () => {
      const result = await hub.cli(['list'], { env: { VM_AGENT_HUB: '127.0.0.1:1' }, timeoutMs: 10_000 });
      expect(result.exitCode).to.equal(69);
      expect(result.stderr).to.include('127.0.0.1:1').and.to.match(/hint/);
    });
  });
});

/** Fields that the google.rpc.BadRequest of a REST answer names. */
function badFields(answer: RestAnswer): unknown[] {
  const details = list(answer.json, 'details');
  return details.flatMap((detail) =>
    list(detail, 'fieldViolations').map((violation) => at(violation, 'field')),
  );
}
