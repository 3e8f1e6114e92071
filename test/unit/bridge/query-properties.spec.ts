import {
  create,
  type DescField,
  type DescMessage,
  fromBinary,
  type JsonValue,
  type Message,
  toJson,
} from '@bufbuild/protobuf';
import { type ReflectMessage, reflect } from '@bufbuild/protobuf/reflect';
import { expect } from 'chai';
import fc from 'fast-check';
import { fillUpdateMask } from '../../../src/bridge/field-mask.js';
import { GatewayError } from '../../../src/bridge/gateway-error.js';
import { byBytes } from '../../../src/bridge/json-text.js';
import { parseQuery } from '../../../src/bridge/query.js';
import { buildRequest, type RequestParts } from '../../../src/bridge/request.js';
import { messageOf, plain, text } from '../../support/gateway/message-arbitrary.js';
import { type RefRegistry, readRefRegistry } from '../../support/gateway/ref-registry.js';
import { propertyOptions } from '../../support/property.js';

/** As many seconds as a duration of Go may have. */
const GO_SECONDS = 2 ** 63 / 1e9 - 1;

/** Fields that a query cannot say. */
const NOT_IN_QUERIES = ['rn', 'min', 'any', 'lv', 'emp', 'nul'];

describe('requests made of their parts', function () {
  this.timeout(120_000);
  let ref: RefRegistry;
  let everything: DescMessage;
  let messages: fc.Arbitrary<Message>;

  before(async () => {
    ref = await readRefRegistry();
    everything = ref.message('Everything');
    const fields = (field: DescField) => !NOT_IN_QUERIES.includes(field.name);
    messages = messageOf(everything, { depth: 2, fields, plain: true }).filter(
      (message) =>
        Math.abs(Number((message as { dur?: { seconds: bigint } }).dur?.seconds ?? 0)) < GO_SECONDS,
    );
  });

  const encode = (route: string, parts: Partial<RequestParts>): Buffer => {
    const binding = ref.binding(route);
    const options = { registry: ref.registry, rejectUnknownFields: false, fieldViolations: false };
    const params = new Map<string, string>();
    const none = { params, query: '', body: new Uint8Array(), formType: undefined, standsIn: false };
    return buildRequest(binding, { ...none, ...parts }, options);
  };
  const build = (route: string, parts: Partial<RequestParts>): JsonValue => {
    const { input } = ref.binding(route).method;
    return plain(input, fromBinary(input, encode(route, parts)), ref.registry);
  };
  const asPlain = (message: Message) => plain(everything, message, ref.registry);

  it('a query says a message, by either name of its fields', () => {
    fc.assert(
      fc.property(messages, fc.boolean(), fc.boolean(), (message, protoNames, asForm) => {
        const query = queryOf(reflect(everything, message), protoNames);
        const got = asForm
          ? build('POST /v1/nobody/{id}', {
              body: Buffer.from(query),
              formType: 'application/x-www-form-urlencoded',
            })
          : build('GET /v1/echo', { query });
        const wanted = asForm ? create(everything, { ...message, id: '' }) : message;
        expect(got, query).to.deep.equal(asPlain(wanted));
      }),
      propertyOptions(400),
    );
  });

  it('the path wins over the body, and the query says the rest', () => {
    fc.assert(
      fc.property(messages, text, (message, id) => {
        const whole = reflect(everything, message);
        const nested = everything.fields.find(({ name }) => name === 'nested');
        const isSet = nested !== undefined && whole.isSet(nested);
        const body =
          isSet && nested.fieldKind === 'message' ? toJson(nested.message, whole.get(nested).message) : {};
        const got = build('PUT /v1/echo/{id}', {
          params: new Map([['id', id]]),
          query: `${queryOf(whole, false)}&nested.amount=77&id=no`,
          body: Buffer.from(JSON.stringify(body)),
        });
        const wanted = asPlain(
          create(everything, { ...message, id, ...(isSet ? {} : { nested: create(ref.message('Nested')) }) }),
        );
        expect(got).to.deep.equal(wanted);
      }),
      propertyOptions(300),
    );
  });

  it('path parameters say values of every type', () => {
    const names = ['i32', 'i64', 'b', 'color', 'd'];
    const some = messageOf(ref.message('Everything'), {
      depth: 1,
      plain: true,
      fields: ({ name }) => names.includes(name),
    });
    fc.assert(
      fc.property(some, (message) => {
        const whole = reflect(everything, message);
        const fields = everything.fields.filter(({ name }) => names.includes(name));
        const params = new Map(fields.map((field) => [field.name, textOf(field, whole.get(field))]));
        expect(build('GET /v1/types/{i32}/{i64}/{b}/{color}/{d}', { params })).to.deep.equal(
          asPlain(message),
        );
      }),
      propertyOptions(300),
    );
  });

  it('any query is taken or refused in words, and never fails in another way', () => {
    const names = everything.fields.flatMap(({ name, jsonName }) => [name, jsonName]);
    const ends = fc.constantFrom(
      '',
      '.name',
      '.nope',
      '[a]',
      '[1]',
      '[',
      ']',
      '.value',
      '.seconds',
      '.child.name',
      '[a].name',
      '.',
      '..',
    );
    const values = fc.oneof(
      text.map(encodeURIComponent),
      fc.constantFrom('1', 'RED', 'true', '%zz', ';', '%FF', '=', '&', '1s', '{}'),
    );
    const pair = fc.tuple(
      fc.constantFrom(...names, 'x', '__proto__', 'constructor', 'toString'),
      ends,
      values,
    );
    fc.assert(
      fc.property(fc.array(pair, { maxLength: 4 }), (pairs) => {
        const query = pairs.map(([name, end, value]) => `${name}${end}=${value}`).join('&');
        try {
          fromBinary(everything, encode('GET /v1/echo', { query }));
        } catch (err) {
          expect(err, query).to.be.instanceOf(GatewayError);
          expect((err as GatewayError).code, query).to.be.oneOf([3, 13]);
        }
      }),
      propertyOptions(3000),
    );
  });

  it('an update mask that is made of a body names what the body sets, and all of it', () => {
    // Of values without a type the mask names what is inside; where there is nothing inside, nothing.
    const fields = ({ name }: DescField) => !['st', 'val'].includes(name);
    const item = messageOf(everything, { depth: 2, plain: true, packable: [ref.message('Name')], fields });
    fc.assert(
      fc.property(item, fc.boolean(), (message, useProtoFieldName) => {
        const json = toJson(everything, message, { registry: ref.registry, useProtoFieldName });
        // An empty Struct has no path, and an empty body an empty one, as in grpc-gateway.
        fc.pre(!/"(st|val)":.*\{\}|^\{\}$/s.test(JSON.stringify(json)));
        const update = ref.binding('PATCH /v1/items/{item.id}');
        const request = reflect(update.method.input);
        if (update.body.kind === 'field') fillUpdateMask(request, update.body.field, JSON.stringify(json));
        const { paths = [] } = (request.message as { updateMask?: { paths: string[] } }).updateMask ?? {};
        expect([...paths].sort(byBytes)).to.deep.equal(paths);
        const copy = reflect(everything);
        for (const path of paths) copyPath(reflect(everything, message), copy, path.split('.'));
        expect(asPlain(copy.message)).to.deep.equal(asPlain(message));
      }),
      propertyOptions(300),
    );
  });
});

describe('parseQuery', () => {
  it('reads what URLSearchParams writes', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(text, text), { maxLength: 5 }), (pairs) => {
        const got = [...parseQuery(new URLSearchParams(pairs).toString())].flatMap(([key, values]) =>
          values.map((value) => [key, value]),
        );
        expect(got).to.have.deep.members(pairs);
      }),
      propertyOptions(1000),
    );
  });
});

/** The query parameters of what a message sets. */
function queryOf(message: ReflectMessage, protoNames: boolean, above = ''): string {
  const parts: string[] = [];
  for (const field of message.desc.fields) {
    if (!message.isSet(field)) continue;
    const name = `${above}${protoNames ? field.name : field.jsonName}`;
    if (field.fieldKind === 'list') {
      for (const item of message.get(field)) parts.push(pair(name, textOf(field, item)));
    } else if (field.fieldKind === 'map') {
      for (const [key, item] of message.get(field)) parts.push(pair(`${name}[${key}]`, textOf(field, item)));
    } else if (field.fieldKind === 'message' && !field.message.typeName.startsWith('google.protobuf.')) {
      // A field that is not there sets the message around it.
      parts.push(queryOf(message.get(field), protoNames, `${name}.`) || `${name}.nope=1`);
    } else {
      parts.push(pair(name, textOf(field, message.get(field))));
    }
  }
  return parts.join('&');
}

const pair = (name: string, value: string) => `${encodeURIComponent(name)}=${encodeURIComponent(value)}`;

/** A value as a parameter. */
function textOf(field: DescField, value: unknown): string {
  if (field.enum !== undefined) return field.enum.value[Number(value)]?.name ?? '';
  if (value instanceof Uint8Array) return Buffer.from(value).toString('base64');
  if (field.message === undefined) return Object.is(value, -0) ? '-0' : String(value);
  const { desc, message } = value as ReflectMessage;
  if (desc.typeName === 'google.protobuf.FieldMask')
    return (message as unknown as { paths: string[] }).paths.join(',');
  const json = toJson(desc, message);
  if (/Struct|\.Value$/.test(desc.typeName)) return JSON.stringify(json);
  return Object.is(json, -0) ? '-0' : String(json);
}

/** Copies what stands at a path; the inside of a Struct counts as a whole. */
function copyPath(from: ReflectMessage, to: ReflectMessage, [name = '', ...rest]: string[]): void {
  const field = from.desc.fields.find((candidate) => candidate.name === name);
  if (field === undefined) throw new Error(`${from.desc.typeName} has no field ${name}`);
  const isWhole = field.fieldKind !== 'message' || field.message.typeName.startsWith('google.protobuf.');
  if (rest.length === 0 || isWhole) {
    if (from.isSet(field)) to.set(field, from.get(field));
    return;
  }
  const child = to.get(field);
  copyPath(from.get(field), child, rest);
  to.set(field, child);
}
