import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createFileRegistry, fromBinary, getExtension } from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema, FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import type { MethodDefinition } from '@grpc/grpc-js';
import { expect } from 'chai';
import { AgentService } from '../../../gen/vmagent/v1/agent_service.js';
import { HubService } from '../../../gen/vmagent/v1/hub_service.js';
import { VmManagerService } from '../../../gen/vmagent/v1/vm_manager_service.js';
import { loadHealth, loadReflection } from '../../../src/rpc/loaded-definitions.js';
import { accessTo } from '../../../src/rpc/method-roles.js';
import { failure, RpcHarness } from '../../support/rpc-harness.js';

interface Answer {
  readonly fileDescriptorResponse?: { readonly fileDescriptorProto: readonly Buffer[] };
  readonly listServicesResponse?: { readonly service: readonly { readonly name: string }[] };
  readonly allExtensionNumbersResponse?: { readonly extensionNumber: readonly number[] };
  readonly errorResponse?: { readonly errorCode: number };
}

async function ask(rpc: RpcHarness, version: 'v1' | 'v1alpha', request: object): Promise<Answer> {
  const method = loadReflection(version).definition.ServerReflectionInfo as MethodDefinition<object, Answer>;
  const call = rpc.client.makeBidiStreamRequest(
    method.path,
    method.requestSerialize,
    method.responseDeserialize,
  );
  call.write(request);
  call.end();
  const [answer] = (await once(call, 'data')) as [Answer];
  call.resume();
  await once(call, 'end');
  return answer;
}

/** A registry of all files that were answered; it refuses files with anything missing. */
function registryOf(answers: readonly Answer[]) {
  const bytes = answers.flatMap((answer) => answer.fileDescriptorResponse?.fileDescriptorProto ?? []);
  const files = new Map(bytes.map((b) => fromBinary(FileDescriptorProtoSchema, b)).map((f) => [f.name, f]));
  const set = fromBinary(FileDescriptorSetSchema, new Uint8Array());
  const visit = (name: string) => {
    const file = files.get(name);
    if (file === undefined || set.file.includes(file)) return;
    file.dependency.forEach(visit);
    set.file.push(file);
  };
  for (const name of files.keys()) visit(name);
  return createFileRegistry(set);
}

const SERVICES = [
  'grpc.health.v1.Health',
  'grpc.reflection.v1.ServerReflection',
  'grpc.reflection.v1alpha.ServerReflection',
  'vmagent.v1.Agent',
  'vmagent.v1.Hub',
  'vmagent.v1.VmManager',
];

describe('reflection', () => {
  for (const version of ['v1', 'v1alpha'] as const) {
    it(`${version} lists all services and describes each completely`, async () => {
      await using rpc = await new RpcHarness().start();
      const list = await ask(rpc, version, { listServices: '*' });
      const names = list.listServicesResponse?.service.map(({ name }) => name) ?? [];
      expect(names).to.deep.equal(SERVICES);
      const answers = await Promise.all(
        names.map((name) => ask(rpc, version, { fileContainingSymbol: name })),
      );
      const registry = registryOf(answers);
      for (const name of names) expect(registry.getService(name)?.methods, name).to.not.be.empty;
    });
  }

  it('keeps the options of methods byte for byte', async () => {
    await using rpc = await new RpcHarness().start();
    const answer = await ask(rpc, 'v1', { fileContainingSymbol: 'vmagent.v1.Hub.CreateTask' });
    const registry = registryOf([answer]);
    const http = registry.getExtension('google.api.http');
    const method = registry.getService('vmagent.v1.Hub')?.method.createTask;
    const options = method?.proto.options;
    if (http === undefined || options === undefined) throw new Error('not described');
    expect(JSON.stringify(getExtension(options, http))).to.contain('/agents/{agent}/task');
    const sent = answer.fileDescriptorResponse?.fileDescriptorProto[0];
    expect(readFileSync('gen/descriptors.binpb').includes(sent ?? 'missing')).to.equal(true);
  });

  it('finds files, members and extensions, and says what it does not know', async () => {
    await using rpc = await new RpcHarness().start();
    const found = [
      { fileByFilename: 'vmagent/v1/task.proto' },
      { fileContainingSymbol: 'vmagent.v1.Task.State' },
      { fileContainingSymbol: 'vmagent.v1.Task.RUNNING' },
      { fileContainingSymbol: 'vmagent.v1.Task.outcome' },
      {
        fileContainingExtension: {
          containingType: 'google.protobuf.MethodOptions',
          extensionNumber: 72295728,
        },
      },
    ];
    for (const request of found)
      expect((await ask(rpc, 'v1', request)).fileDescriptorResponse, JSON.stringify(request)).to.be.an(
        'object',
      );
    const numbers = await ask(rpc, 'v1', { allExtensionNumbersOfType: 'google.protobuf.MethodOptions' });
    expect(numbers.allExtensionNumbersResponse?.extensionNumber).to.have.members([72295728, 50917]);
    const unknown = [
      { fileByFilename: '../../etc/passwd' },
      { fileContainingSymbol: 'vmagent.v1.Nothing' },
      { fileContainingExtension: { containingType: 'x', extensionNumber: 1 } },
      { allExtensionNumbersOfType: 'vmagent.v1.Nothing' },
    ];
    for (const request of unknown)
      expect((await ask(rpc, 'v1', request)).errorResponse?.errorCode, JSON.stringify(request)).to.equal(5);
    expect((await ask(rpc, 'v1', {})).errorResponse?.errorCode).to.equal(3);
  });
});

describe('health', () => {
  const { Check, Watch } = loadHealth().definition as Record<
    string,
    MethodDefinition<object, { status: string }>
  >;
  if (Check === undefined || Watch === undefined) throw new Error('grpc.health.v1 lacks a method');

  it('needs no credentials, and does not know other services', async () => {
    await using rpc = await new RpcHarness().start();
    const metadata = { authorization: 'Bearer wrong' };
    for (const service of ['', 'vmagent.v1.Hub'])
      expect(await rpc.call(Check, { service }, { metadata })).to.deep.equal({ status: 'SERVING' });
    expect((await failure(rpc.call(Check, { service: 'x' }))).code).to.equal(5);
  });

  it('tells watchers that the server stops', async () => {
    await using rpc = await new RpcHarness().start();
    const { path, requestSerialize, responseDeserialize } = Watch;
    const call = rpc.client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, {
      service: '',
    });
    const [first] = await once(call, 'data');
    expect(first.status).to.equal('SERVING');
    call.on('error', () => {});
    const next = once(call, 'data');
    await rpc.server.close({ graceMs: 1000 });
    expect((await next)[0].status).to.equal('NOT_SERVING');
  });
});

describe('table of roles', () => {
  it('covers every method that is served, and nothing else', () => {
    const loaded = [loadHealth(), loadReflection('v1'), loadReflection('v1alpha')];
    const definitions = [HubService, VmManagerService, AgentService, ...loaded.map((l) => l.definition)];
    for (const definition of definitions)
      for (const { path } of Object.values(definition)) expect(accessTo(path), path).to.be.a('string');
    for (const path of [
      '/vmagent.v1.Hub/Nothing',
      '/x/GetTask',
      '/vmagent.v1.Hub/constructor',
      '',
      '/__proto__/x',
    ])
      expect(accessTo(path), path).to.equal(undefined);
  });

  it('keeps agents and operators apart, and admin methods for admins', () => {
    for (const { path } of Object.values(AgentService)) expect(accessTo(path)).to.equal('agent');
    const others = [...Object.values(HubService), ...Object.values(VmManagerService)];
    const admin = others
      .filter(({ path }) => accessTo(path) === 'admin')
      .map(({ path }) => path.split('/')[2]);
    expect(admin).to.have.members(['SetLogLevel', 'RestoreSnapshot', 'DeleteSnapshot']);
    const open = others
      .filter(({ path }) => accessTo(path) === 'anybody')
      .map(({ path }) => path.split('/')[2]);
    expect(open).to.deep.equal(['GetHealth']);
  });
});
