import { once } from 'node:events';
import { mkdtemp, rename, rm, stat } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Client, ClientDuplexStream, ServiceError } from '@grpc/grpc-js';
import { expect } from 'chai';
import { AgentService, ConnectRequest, type ConnectResponse } from '../../../gen/vmagent/v1/agent_service.js';
import { HubService } from '../../../gen/vmagent/v1/hub_service.js';
import { VmManagerService } from '../../../gen/vmagent/v1/vm_manager_service.js';
import { silentLogger } from '../../../src/base/logger.js';
import type { AgentFrame, HubFrame } from '../../../src/model/agent-protocol.js';
import { createAgentDoor } from '../../../src/rpc/agent-door.js';
import { hubErrorFromStatus } from '../../../src/wire/status.js';
import { fakeHub, JOIN_SECRET } from '../../support/fake-hub.js';
import {
  ADMIN,
  createClient,
  failure,
  metadataOf,
  RpcHarness,
  unaryCall,
} from '../../support/rpc-harness.js';

const CREDENTIALS = { 'x-agent-id': 'my-agent', authorization: `Bearer ${JOIN_SECRET}` };

/** Acknowledges each report. */
async function* acknowledge(agentId: string, frames: AsyncIterable<AgentFrame>): AsyncIterable<HubFrame> {
  expect(agentId).to.equal('my-agent');
  for await (const frame of frames) if (frame.type === 'goodbye') yield { type: 'ack', sequence: 5 };
}

const GOODBYE: ConnectRequest = { frame: { $case: 'goodbye', value: { reason: 'test' } } };

function openSession(client: Client, metadata = {}): ClientDuplexStream<ConnectRequest, ConnectResponse> {
  const { path, requestSerialize, responseDeserialize } = AgentService.connect;
  return client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize, metadataOf(metadata));
}

async function reasonOf(call: ClientDuplexStream<ConnectRequest, ConnectResponse>): Promise<string> {
  call.resume();
  const [err] = (await once(call, 'error')) as [ServiceError];
  return hubErrorFromStatus(err.code, err.details, err.metadata).reason;
}

describe('agent door', () => {
  let dir: string;
  let client: Client;
  let door: ReturnType<typeof createAgentDoor>;
  let path: string;

  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'door-'));
    path = join(dir, 'run', 'agents.sock');
    const hub = fakeHub({ door: { connect: acknowledge } });
    door = createAgentDoor({ hub, log: silentLogger });
    await door.listen(`unix:${path}`);
    client = createClient(`unix:${path}`);
  });

  afterEach(async () => {
    client.close();
    await door.close({ graceMs: 500 });
    await rm(dir, { recursive: true });
  });

  it('keeps its socket to its own user', async () => {
    expect((await stat(path)).mode & 0o777).to.equal(0o600);
    expect((await stat(join(dir, 'run'))).mode & 0o777).to.equal(0o700);
  });

  it('lets an agent in by its secret', async () => {
    const call = openSession(client, CREDENTIALS);
    call.write(GOODBYE);
    const [answer] = await once(call, 'data');
    expect(answer.frame).to.deep.include({ $case: 'ack' });
    call.end();
    call.resume();
    await once(call, 'end');
  });

  it('refuses a wrong secret, a missing one, and an admin token', async () => {
    for (const metadata of [
      {},
      { ...CREDENTIALS, authorization: 'Bearer wrong' },
      { ...CREDENTIALS, ...ADMIN },
    ])
      expect(await reasonOf(openSession(client, metadata))).to.equal('NOT_AUTHENTICATED');
  });

  it('ends a session at a frame that cannot be read', async () => {
    const call = openSession(client, CREDENTIALS);
    call.write(ConnectRequest.fromPartial({}));
    expect(await reasonOf(call)).to.equal('PROTOCOL_ERROR');
  });

  it('ends a session at a message of more than 2 MiB, and serves on', async () => {
    const call = openSession(client, CREDENTIALS);
    call.write({ frame: { $case: 'goodbye', value: { reason: 'x'.repeat(2 * 1024 * 1024) } } });
    expect(await reasonOf(call)).to.equal('OVERLOADED');
    const next = openSession(client, CREDENTIALS);
    next.on('error', () => {});
    next.write(GOODBYE);
    await once(next, 'data');
    next.cancel();
  });

  it('has no method of Hub and VmManager, even for an admin', async () => {
    const metadata = { ...CREDENTIALS, ...ADMIN };
    for (const method of [...Object.values(HubService), ...Object.values(VmManagerService)]) {
      const anyMethod = { ...HubService.getHealth, path: method.path as '/vmagent.v1.Hub/GetHealth' };
      const err = await failure(unaryCall(client, anyMethod, { request: {}, metadata }));
      expect(err.code, method.path).to.equal(12);
    }
  });

  it('takes over a socket that a dead hub left, and not one in use', async () => {
    const second = createAgentDoor({ hub: fakeHub(), log: silentLogger });
    expect(await failure(second.listen(`unix:${path}`))).to.include({ reason: 'ADDRESS_IN_USE' });
    const left = join(dir, 'run', 'left.sock');
    const dead = createServer().listen(path.replace('agents', 'dead'));
    await once(dead, 'listening');
    await rename(path.replace('agents', 'dead'), left);
    dead.close();
    expect(await second.listen(`unix:${left}`)).to.equal(0);
    await second.close({ graceMs: 0 });
  });
});

describe("agents at the operators' port", () => {
  it('are let in by their secret, and operators are not', async () => {
    await using rpc = await new RpcHarness(fakeHub({ door: { connect: acknowledge } })).start();
    expect(await reasonOf(openSession(rpc.client, ADMIN))).to.equal('NOT_AUTHENTICATED');
    const call = openSession(rpc.client, CREDENTIALS);
    call.write(GOODBYE);
    await once(call, 'data');
    call.on('error', () => {});
    call.cancel();
  });
});
