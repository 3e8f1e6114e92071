import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Validator } from '@seriousme/openapi-schema-validator';
import { expect } from 'chai';
import { packageRoot } from '../../../src/base/package-root.js';
import { readBindings, readDescriptors } from '../../../src/bridge/bindings.js';
import { createOpenApi } from '../../../src/bridge/openapi.js';
import { ask } from '../../support/gateway/http-client.js';
import { type HubDoor, startHubDoor, TOKEN } from '../../support/gateway/hub-door.js';
import { type OpenApiDocument, SchemaCheck } from '../../support/gateway/openapi-check.js';
import { buildRefDescriptors } from '../../support/gateway/ref-descriptors.js';
import { startRefGateway } from '../../support/gateway/ref-gateway.js';

const COMMITTED = join(packageRoot(), 'gen/openapi.json');

async function complaintsAbout(document: object): Promise<unknown> {
  const { valid, errors } = await new Validator().validate(
    structuredClone(document) as Record<string, unknown>,
  );
  return valid ? undefined : (errors ?? 'not valid');
}

function operationsOf(document: OpenApiDocument) {
  return Object.entries(document.paths).flatMap(([path, operations]) =>
    Object.entries(operations).map(([method, operation]) => ({ method, path, operation })),
  );
}

describe('OpenAPI of the hub', () => {
  const document: OpenApiDocument = JSON.parse(readFileSync(COMMITTED, 'utf8'));
  let door: HubDoor;

  before(async () => {
    door = await startHubDoor();
  });
  after(() => door.close());

  it('is valid OpenAPI 3.1 by a public validator', async () => {
    expect(document.openapi).to.equal('3.1.0');
    expect(await complaintsAbout(document)).to.equal(undefined);
    const broken = { ...document, paths: { '/x': { get: { responses: { 200: {} } } } } };
    expect(await complaintsAbout(broken)).not.to.equal(undefined);
  });

  it('is served at /openapi.json as it is committed', async () => {
    const served = (await ask(door.port, { path: '/openapi.json' })).json();
    expect(served).to.deep.equal({ ...document, info: { ...document.info, version: '1.2.3' } });
  });

  it('describes every route of the protos and leaves none out', () => {
    const described = operationsOf(document).map(({ method, path }) => `${method.toUpperCase()} ${path}`);
    const bound = door.http.bridge.bindings.map(({ httpMethod, path }) => `${httpMethod} ${path}`);
    expect(bound.length).to.be.greaterThan(30);
    expect(described).to.include.members(bound);
    expect(document['x-left-out']).to.equal(undefined);
  });

  it('describes no route that is not there', async () => {
    for (const { method, path } of operationsOf(document)) {
      const answer = await ask(door.port, {
        method: method.toUpperCase(),
        path: path.replace(/\{[^}]*\}/g, 'x'),
        headers: { Authorization: `Bearer ${TOKEN}`, 'Grpc-Timeout': '1S' },
      });
      expect(answer.text, `${method} ${path}`).not.to.match(/"(Not Found|Method Not Allowed)"/);
    }
  });

  it('carries the comments of the protos', () => {
    const operation = document.paths['/tasks/{task}']?.get;
    expect(operation?.summary).to.equal('Answers one task with its attempts');
    expect(operation?.description).to.match(/^Answers one task with its attempts\.\n\nCaller: operator\./);
    const { properties } = document.components.schemas['vmagent.v1.Task'] as {
      properties: Record<string, object>;
    };
    for (const [name, property] of Object.entries(properties))
      expect(property, name).to.have.property('description');
    expect(JSON.stringify(document)).not.to.contain('buf:lint');
  });

  it('gives every operation an id of its own', () => {
    const ids = operationsOf(document).map(({ operation }) => operation.operationId);
    expect(new Set(ids).size).to.equal(ids.length);
  });

  it('says which paths need no credentials', async () => {
    for (const { method, path, operation } of operationsOf(document)) {
      const answer = await ask(door.port, {
        method: method.toUpperCase(),
        path: path.replace(/\{[^}]*\}/g, 'x'),
        headers: { Authorization: 'Bearer wrong' },
      });
      expect(answer.status, path).to.equal(401);
      const isOpen = ['/health', '/healthz', '/readyz', '/metrics', '/version', '/openapi.json'].includes(
        path,
      );
      expect(operation.security, path).to.deep.equal(isOpen ? [] : undefined);
    }
  });

  it('marks what a caller must give', () => {
    const schema = document.components.schemas['vmagent.v1.RegisterAgentRequest'];
    expect(schema?.required).to.deep.equal(['agentId']);
    expect(document.paths['/agents/register']?.post?.requestBody?.required).to.equal(true);
  });
});

describe('OpenAPI of any proto', () => {
  let document: OpenApiDocument;
  let check: SchemaCheck;
  let gateway: Awaited<ReturnType<typeof startRefGateway>>;

  before(async () => {
    using descriptors = await buildRefDescriptors();
    const registry = readDescriptors(readFileSync(descriptors.file));
    const bindings = readBindings(registry).map(({ target }) => target);
    const options = { title: 'ref', version: '1' };
    document = JSON.parse(JSON.stringify(createOpenApi(bindings, registry, options)));
    check = new SchemaCheck(document);
    gateway = await startRefGateway();
  });
  after(() => gateway?.close());

  it('is valid by a public validator', async () => {
    expect(await complaintsAbout(document)).to.equal(undefined);
  });

  it('is valid for odd protos, too', async () => {
    using descriptors = await buildRefDescriptors(['odd', 'odd2', 'odd3']);
    const registry = readDescriptors(readFileSync(descriptors.file));
    const bindings = readBindings(registry).map(({ target }) => target);
    const odd = createOpenApi(bindings, registry, { title: 'odd', version: '1' });
    expect(await complaintsAbout(odd)).to.equal(undefined);
    expect(Object.keys(odd.paths as object).length).to.be.greaterThan(10);
  });

  const parametersOf = (method: string, path: string, where: string): string[] =>
    (document.paths[path]?.[method]?.parameters ?? []).flatMap(({ name, in: at }) =>
      at === where ? [name] : [],
    );

  it('writes variables with a pattern out', () => {
    expect(parametersOf('post', '/v1/projects/{name_1}/vms/{name_2}:start', 'path')).to.have.length(2);
    expect(parametersOf('get', '/v1/deep/{name_1}/tail', 'path')).to.deep.equal(['name_1']);
    expect(parametersOf('get', '/v1/wild/{any_1}/{name}', 'path')).to.deep.equal(['any_1', 'name']);
  });

  it('says which routes are out of reach', () => {
    expect(document['x-left-out']?.map(({ route }) => route)).to.deep.equal([
      'GET /v1/over/{name}',
      'GET /v1/over/fixed',
    ]);
  });

  it('names the fields that a query may set, and no others', () => {
    const names = parametersOf('get', '/v1/nest/{nested.name}', 'query');
    expect(names).to.include.members([
      'nested.amount',
      'weirdName',
      'snakeCaseName',
      'mss',
      'ts',
      'st',
      'nul',
    ]);
    expect(names).not.to.include.oneOf(['nested.name', 'nested.child.name', 'min', 'rn', 'any', 'lv', 'emp']);
    expect(
      parametersOf('put', '/v1/echo/{id}', 'query').filter((name) => /^(nested|id)/.test(name)),
    ).to.deep.equal([]);
    expect(parametersOf('post', '/v1/echo', 'query')).to.deep.equal([]);
  });

  const cases: [method: string, path: string, request: { path?: string; body?: string }][] = [
    ['post', '/v1/echo', { body: '{}' }],
    [
      'post',
      '/v1/echo',
      {
        body: JSON.stringify({
          ...{
            i32: -1,
            i64: '-9007199254740993',
            u32: 4294967295,
            u64: '18446744073709551615',
            f: 0.1,
            d: 1e300,
          },
          ...{ b: true, by: 'AQI=', color: 'BLUE', nested: { child: { name: 'x' } }, rs: ['a'], rc: ['RED'] },
          ...{
            rn: [{}],
            ri64: ['1'],
            mss: { a: 'b' },
            min: { '-1': {} },
            msi: { a: '1' },
            mbs: { true: 'x' },
          },
          ...{
            ts: '2026-01-02T03:04:05.006Z',
            dur: '-1.500s',
            mask: 'a.bC,d',
            wsv: '',
            wi64: '5',
            wb: false,
          },
          ...{
            wby: 'AQI=',
            wd: 0.5,
            st: { a: [1, null] },
            val: 'x',
            any: { '@type': 'type.googleapis.com/ref.v1.Name' },
          },
          ...{ lv: [1, {}], emp: {}, oMsg: { name: 'o' }, optS: '', optI: 0, weirdName: 'w' },
        }),
      },
    ],
    ['get', '/v1/echo/{id}', { path: '/v1/echo?mss[a]=b&ts=2026-01-02T03:04:05Z&st={"a":1}' }],
    ['get', '/v1/list', {}],
    ['get', '/v1/listnext', {}],
    ['get', '/v1/listc', {}],
    ['get', '/v1/listtotal', {}],
    ['get', '/v1/listraw', {}],
    ['get', '/v1/listm', {}],
    ['get', '/v1/listone', {}],
    ['get', '/v1/liststrs', {}],
    ['get', '/v1/listdd', {}],
    ['get', '/v1/nop', {}],
    ['get', '/v1/meta', {}],
    ['get', '/v1/unimpl', {}],
    ['post', '/v1/cstream', { body: '{"text":"a"}{"text":"b"}' }],
    ['patch', '/v1/items/{item.id}', { path: '/v1/items/5', body: '{"s":"x"}' }],
    ['get', '/v1/fail/{code}', { path: '/v1/fail/9?detail=WHY' }],
    ['get', '/v1/sstream/{n}', { path: '/v1/sstream/1?cmd=failfirst' }],
    ['get', '/v1/sstream/{n}', { path: '/v1/sstream/x' }],
    ['get', '/v1/sstream/{n}', { path: '/v1/sstream/3?cmd=faillast' }],
    ['get', '/v1/sstreamtext/{n}', { path: '/v1/sstreamtext/2' }],
    ['post', '/v1/bidi', { body: '{"seq":1}{"seq":2}' }],
  ];
  for (const [method, described, { path = described, body }] of cases) {
    it(`holds for the answer to ${method.toUpperCase()} ${path} ${body?.slice(0, 30) ?? ''}`, async () => {
      const request = {
        method: method.toUpperCase(),
        path: encodeURI(path),
        ...(body === undefined ? {} : { body }),
      };
      const answer = await ask(gateway.port, request);
      const streams = /stream\/|streamtext|bidi/.test(path);
      const values = streams && answer.status === 200 ? answer.text.trim().split('\n') : [answer.text];
      expect(values.length).to.be.greaterThan(0);
      const at = described === '/v1/echo/{id}' ? '/v1/echo' : described;
      for (const value of values) {
        expect(check.answerProblems(method, at, String(answer.status), JSON.parse(value)), value).to.equal(
          '',
        );
      }
    });
  }

  it('does not hold for other answers', () => {
    const name = ['components', 'schemas', 'ref.v1.Everything'];
    expect(check.problems(name, { i64: 5 })).to.match(/i64/);
    expect(check.problems(name, { oStr: 'x', oInt: '1' })).to.match(/oneOf/);
    expect(check.problems(name, { nope: 1 })).to.match(/additional/);
    expect(check.problems(name, { min: { x: {} } })).to.match(/min/);
  });
});
