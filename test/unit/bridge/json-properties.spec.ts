import { fromJson, type JsonValue, type Message, toJsonString } from '@bufbuild/protobuf';
import { reflect } from '@bufbuild/protobuf/reflect';
import { expect } from 'chai';
import fc from 'fast-check';
import { readBindings } from '../../../src/bridge/bindings.js';
import { GatewayError } from '../../../src/bridge/gateway-error.js';
import { firstJson, messageFromJson, parseJson } from '../../../src/bridge/json-input.js';
import { messageToJson } from '../../../src/bridge/json-output.js';
import { JsonSplitter } from '../../../src/bridge/json-splitter.js';
import { createOpenApi } from '../../../src/bridge/openapi.js';
import { messageOf, plain, text } from '../../support/gateway/message-arbitrary.js';
import { SchemaCheck } from '../../support/gateway/openapi-check.js';
import { type RefRegistry, readRefRegistry } from '../../support/gateway/ref-registry.js';
import { propertyOptions } from '../../support/property.js';

describe('JSON of messages', function () {
  this.timeout(120_000);
  let ref: RefRegistry;
  let messages: fc.Arbitrary<Message>;

  before(async () => {
    ref = await readRefRegistry();
    const packable = ['Name', 'Everything', 'google.protobuf.Duration', 'google.protobuf.Struct'].map(
      ref.message,
    );
    messages = messageOf(ref.message('Everything'), { depth: 2, packable });
  });

  const options = () => ({ registry: ref.registry, rejectUnknownFields: false, fieldViolations: false });
  const everything = () => ref.message('Everything');
  const asPlain = (message: Message) => plain(everything(), message, ref.registry);
  /** What our reader makes of a text: a plain value, or undefined when it refuses. */
  const ours = (json: string): JsonValue | undefined => {
    try {
      return asPlain(messageFromJson(everything(), firstJson(json) ?? '{}', options()).message);
    } catch (err) {
      expect(err).to.be.instanceOf(GatewayError).with.property('code', 3);
      return undefined;
    }
  };

  it('that the bridge writes is read by the library as the same message', () => {
    fc.assert(
      fc.property(messages, fc.constantFrom('proto' as const, 'html' as const), (message, escaping) => {
        const json = messageToJson(
          { registry: ref.registry, escaping },
          reflect(everything(), message, false),
        );
        const read = fromJson(everything(), JSON.parse(json), { registry: ref.registry });
        expect(withoutNull(asPlain(read))).to.deep.equal(withoutNull(asPlain(message)));
      }),
      propertyOptions(300),
    );
  });

  it('that the library writes is read by the bridge as the same message', () => {
    fc.assert(
      fc.property(
        messages,
        fc.boolean(),
        fc.boolean(),
        fc.nat(2),
        (message, useProtoFieldName, all, space) => {
          const how = {
            registry: ref.registry,
            useProtoFieldName,
            alwaysEmitImplicit: all,
            prettySpaces: space,
          };
          const json = toJsonString(everything(), message, how);
          const wanted = fromJson(everything(), JSON.parse(json), { registry: ref.registry });
          expect(ours(json)).to.deep.equal(asPlain(wanted));
        },
      ),
      propertyOptions(300),
    );
  });

  it('holds to the schema in OpenAPI', () => {
    const bindings = [ref.binding('POST /v1/echo')];
    const document = createOpenApi(bindings, ref.registry, { title: 'ref', version: '1' });
    const check = new SchemaCheck(JSON.parse(JSON.stringify(document)));
    const packable = [ref.message('Name')];
    const canonical = messageOf(everything(), { depth: 2, packable, plain: true });
    fc.assert(
      fc.property(canonical, (message) => {
        const emitter = { registry: ref.registry, escaping: 'proto' as const };
        const json = messageToJson(emitter, reflect(everything(), message, false));
        expect(check.problems(['components', 'schemas', 'ref.v1.Everything'], JSON.parse(json))).to.equal('');
      }),
      propertyOptions(300),
    );
  });

  it('holds to the schema in OpenAPI for odd protos, too', async () => {
    const odd = await readRefRegistry(['odd', 'odd2', 'odd3']);
    const bindings = readBindings(odd.registry).map(({ target }) => target);
    const document = createOpenApi(bindings, odd.registry, { title: 'odd', version: '1' });
    const check = new SchemaCheck(JSON.parse(JSON.stringify(document)));
    const names = Object.keys(check.document.components.schemas).filter((name) => /^odd.*\.[A-Z]/.test(name));
    const types = names.flatMap((name) => odd.registry.getMessage(name) ?? []);
    expect(types.length).to.be.greaterThan(5);
    for (const type of types) {
      fc.assert(
        fc.property(messageOf(type, { depth: 2, plain: true }), (message) => {
          const emitter = { registry: odd.registry, escaping: 'proto' as const };
          const json = messageToJson(emitter, reflect(type, message, false));
          expect(check.problems(['components', 'schemas', type.typeName], JSON.parse(json)), json).to.equal(
            '',
          );
        }),
        propertyOptions(50),
      );
    }
  });

  it('is taken or refused as the library does, whatever stands in a field', () => {
    // Of masks, bytes and Any the library takes and refuses other things than Go.
    const fields = () =>
      everything().fields.filter(({ name }) => !['mask', 'any', 'by', 'wby'].includes(name));
    const names = () => fields().flatMap((field) => [field.jsonName, field.name]);
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.constantFrom(...names(), 'nope', '[ext]'), { maxLength: 3 }),
        fc.array(oddValues, { minLength: 3, maxLength: 3 }),
        (chosen, values) => {
          const json = JSON.stringify(
            Object.fromEntries(chosen.map((field, i) => [field, values[i] ?? null])),
          );
          // Go takes the number at the beginning of a string, and does not look at what follows it.
          fc.pre(!/"-?\d[\d.]*[^"\w.]/.test(json));
          let wanted: JsonValue | undefined;
          try {
            const how = { registry: ref.registry, ignoreUnknownFields: true };
            wanted = asPlain(fromJson(everything(), JSON.parse(json), how));
          } catch {
            wanted = undefined;
          }
          expect(ours(json), json).to.deep.equal(wanted);
        },
      ),
      propertyOptions(2000),
    );
  });

  it('never fails in another way, whatever a body holds', () => {
    const pieces = fc.constantFrom(
      '{',
      '}',
      '[',
      ']',
      '"',
      ':',
      ',',
      '\\',
      'nested',
      'null',
      '1e',
      '-',
      ' ',
      '\\u12',
    );
    fc.assert(
      fc.property(fc.array(fc.oneof(pieces, text), { maxLength: 20 }), (parts) => {
        ours(parts.join(''));
      }),
      propertyOptions(3000),
    );
  });
});

describe('parseJson', () => {
  const spaces = fc.constantFrom('', ' ', '\n', '\t\r\n');
  const values = fc
    .jsonValue({ maxDepth: 5 })
    .filter((value) => !JSON.stringify(value).includes('__proto__'));

  it('reads what JSON.parse reads, and ignores what stands behind it', () => {
    fc.assert(
      fc.property(
        values,
        spaces,
        fc.nat(4),
        fc.constantFrom('', ' x', '{}', ']'),
        (value, space, indent, tail) => {
          const isOpen = typeof value === 'number' && tail !== '' && !tail.startsWith(' ');
          const json = `${space}${JSON.stringify(value, null, indent)}${isOpen ? ' ' : ''}${tail}`;
          expect(parseJson(json)).to.deep.equal(JSON.parse(JSON.stringify(value)));
        },
      ),
      propertyOptions(2000),
    );
  });

  it('refuses what JSON.parse refuses, and nothing else', () => {
    const edits = fc.tuple(
      fc.nat(200),
      fc.constantFrom('', '"', '{', '}', '[', ',', ':', '\\', '\u0001', '0', 'e', 'x'),
    );
    fc.assert(
      fc.property(values, edits, (value, [at, piece]) => {
        const json = JSON.stringify(value);
        const broken =
          json.slice(0, at % (json.length + 1)) + piece + json.slice((at % (json.length + 1)) + 1);
        const read = attempt(() => parseJson(`[${broken}]`));
        const wanted = attempt(() => JSON.parse(`[${broken}]`));
        // What stands behind the first value does not count: `[1]x]` is `[1]`.
        if (wanted !== undefined)
          expect(read ?? 'refused').to.satisfy((got: unknown) =>
            got === 'refused' ? hasTwins(`[${broken}]`) : JSON.stringify(got) === JSON.stringify(wanted),
          );
        else if (read !== undefined) expect(broken).to.match(/[\]}]/);
      }),
      propertyOptions(3000),
    );
  });
});

describe('JsonSplitter', () => {
  it('answers the same values however their text is cut', () => {
    const objects = fc.array(fc.dictionary(text, fc.jsonValue({ maxDepth: 3 })), { maxLength: 5 });
    const cuts = fc.array(fc.nat(500), { maxLength: 8 });
    fc.assert(
      fc.property(objects, fc.constantFrom('', '\n', ' \r\n\t'), cuts, (values, space, at) => {
        const whole = values.map((value) => JSON.stringify(value)).join(space);
        expect(split(whole, at).complete).to.deep.equal(values.map((value) => JSON.stringify(value)));
      }),
      propertyOptions(1000),
    );
  });

  it('cuts any text as it does when it comes at once', () => {
    const pieces = fc.constantFrom('{', '}', '[', ']', '"', '\\', 'a', ' ', '\n', '{}', '{"a":"}"}', '5');
    fc.assert(
      fc.property(
        fc.array(pieces, { maxLength: 30 }),
        fc.array(fc.nat(60), { maxLength: 8 }),
        (parts, at) => {
          expect(split(parts.join(''), at)).to.deep.equal(split(parts.join(''), []));
        },
      ),
      propertyOptions(2000),
    );
  });
});

/** Values that JSON of messages may hold where they do not belong. */
const oddValues: fc.Arbitrary<JsonValue> = fc.oneof(
  fc.constantFrom<JsonValue>(
    ...[null, true, false, 0, 1, -1, 1.5, 1e2, 1e300, 2147483648, -2147483649, 4294967296, 2 ** 53],
    ...['', 'x', '1', '-1', 'true', 'NaN', 'Infinity', '-Infinity', 'inf'],
    ...['9223372036854775807', '9223372036854775808', '-9223372036854775809', '18446744073709551616'],
    ...[
      'RED',
      'red',
      'PINK',
      'NULL_VALUE',
      'AQ',
      'AQ==',
      '-_8',
      '!',
      'a_b',
      'aB,c',
      'a..b',
      '1s',
      '1.5s',
      '-0.5s',
      '1h',
    ],
    ...[
      '2026-01-02T03:04:05Z',
      '2026-01-02T03:04:05+01:00',
      '2026-01-02',
      '10000-01-01T00:00:00Z',
      '0001-01-01T00:00:00Z',
    ],
    ...[
      [],
      {},
      [null],
      [1],
      ['RED'],
      [{}],
      { a: null },
      { a: 'b' },
      { '1': {} },
      { true: 'x' },
      { seconds: 1 },
    ],
    { '@type': 'type.googleapis.com/ref.v1.Name', name: 'x' },
    { '@type': 'type.googleapis.com/ref.v1.Nope' },
    { '@type': 'type.googleapis.com/google.protobuf.Duration', value: '1s' },
    { name: 'x', amount: 5, child: { name: 5 } },
  ),
  // Go reads no further than the number when a string begins with one, and knows no space in base64.
  (fc.jsonValue({ maxDepth: 2 }) as fc.Arbitrary<JsonValue>).filter(
    (value) => !/"[-+]?\d|[\s\\]/.test(JSON.stringify(value)),
  ),
);

function split(whole: string, cuts: readonly number[]): { complete: string[]; rest: string } {
  const splitter = new JsonSplitter();
  const at = [0, ...cuts.map((cut) => cut % (whole.length + 1)).sort((a, b) => a - b), whole.length];
  const complete = at.slice(1).flatMap((end, i) => splitter.push(whole.slice(at[i], end)));
  return { complete: complete.map((part) => part.trim()), rest: splitter.rest() };
}

/** A google.protobuf.Value that is not set is written as null, which reads as one that is null. */
function withoutNull(json: JsonValue): JsonValue {
  if (typeof json !== 'object' || json === null) return json;
  if (Array.isArray(json)) return json.map(withoutNull);
  const members = Object.entries(json).filter(([key, value]) => key !== 'val' || value !== null);
  return Object.fromEntries(members.map(([key, value]) => [key, withoutNull(value)]));
}

function attempt(read: () => unknown): unknown {
  try {
    return read();
  } catch {
    return undefined;
  }
}

/** Whether an object names a key twice, which JSON.parse lets pass. */
function hasTwins(json: string): boolean {
  const keys = json.match(/"(?:[^"\\]|\\.)*"\s*:/g) ?? [];
  return new Set(keys.map((key) => JSON.parse(key.slice(0, -1)))).size < keys.length;
}
