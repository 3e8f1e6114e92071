import { expect } from 'chai';
import { GatewayError } from '../../../src/bridge/gateway-error.js';
import { JsonSplitter } from '../../../src/bridge/json-splitter.js';
import { buildRequest } from '../../../src/bridge/request.js';
import { type RefRegistry, readRefRegistry } from '../../support/gateway/ref-registry.js';

const SIZE = 2 * 1024 * 1024;
/** Processor time for one text. What takes the square of its length takes a hundred times as much. */
const MOST_MS = 5_000;

const times = (text: string): string => text.repeat(SIZE / text.length);

// A body may be as long as its limit, and so may a form: none may keep the hub from others.
describe('long texts', function () {
  this.timeout(120_000);
  let ref: RefRegistry;

  before(async () => {
    ref = await readRefRegistry();
  });

  const build = (route: string, parts: { body?: string; query?: string }) => {
    const options = {
      registry: ref.registry,
      rejectUnknownFields: false,
      fieldViolations: true,
      maxDepth: 1000,
    };
    const { body = '', query = '' } = parts;
    const request = {
      params: new Map<string, string>(),
      query,
      body: Buffer.from(body),
      formType: undefined,
      standsIn: false,
    };
    return buildRequest(ref.binding(route), request, options);
  };

  const within = (work: () => unknown): string => {
    const before = process.cpuUsage();
    let outcome = 'taken';
    try {
      work();
    } catch (err) {
      expect(err).to.be.instanceOf(GatewayError).with.property('code', 3);
      outcome = 'refused';
    }
    const { user, system } = process.cpuUsage(before);
    expect((user + system) / 1000).to.be.lessThan(MOST_MS);
    return outcome;
  };

  const bodies: [what: string, body: string, outcome: string][] = [
    ['opened arrays', times('['), 'refused'],
    ['opened objects', times('{"a":'), 'refused'],
    ['a number', `{"i64":${times('1')}}`, 'refused'],
    ['a number as a string', `{"i64":"${times('1')}"}`, 'refused'],
    ['a number as a key', `{"min":{"${times('1')}":{}}}`, 'refused'],
    ['a number in an item', `{"ri64":["1","${times('1')}"]}`, 'refused'],
    ['a wrapped number', `{"wi64":"${times('1')}"}`, 'refused'],
    ['a duration', `{"dur":"${times('1')}s"}`, 'refused'],
    ['messages packed into each other', `{"any":${nested(900, times('1,'))}}`, 'refused'],
    ['digits in a string', `{"s":"${times('1')}"}`, 'taken'],
    ['escapes', `{"s":"${times('\\u0041')}"}`, 'taken'],
    ['backslashes', `{"s":"${times('\\\\')}"}`, 'taken'],
    ['white space', `{${times(' ')}}`, 'taken'],
    ['a bad item behind good ones', `{"rs":[${times('"",')}5]}`, 'refused'],
    ['a bad message behind good ones', `{"rn":[${times('{},')}5]}`, 'refused'],
    ['a bad entry behind good ones', `{"mss":{${distinct('"k$":"",')}"x":5}}`, 'refused'],
    ['unknown fields before a bad one', `{${distinct('"k$":1,')}"i32":"x"}`, 'refused'],
    ['base64 that ends badly', `{"by":"${times('A')}!"}`, 'refused'],
  ];
  for (const [what, body, outcome] of bodies) {
    it(`takes a body of ${what} in time`, () => {
      expect(within(() => build('POST /v1/echo', { body }))).to.equal(outcome);
    });
  }

  it('names the bad item behind many good ones', () => {
    expect(() => build('POST /v1/echo', { body: `{"rs":[${times('"",')}5]}` })).to.throw(
      /"rs\[\d+\]": expected a string/,
    );
  });

  const queries: [what: string, query: string, outcome: string][] = [
    ['brackets', times('['), 'taken'],
    ['brackets that close', `${times('[')}]`, 'taken'],
    ['fields inside fields', `nested${times('.child')}.name=x`, 'refused'],
    ['parameters', times('rs=1&'), 'refused'],
    ['a number', `i64=${times('1')}`, 'refused'],
    ['a float', `d=${times('1')}x`, 'refused'],
    ['a duration of digits', `dur=${times('1')}x`, 'refused'],
    ['a duration of hours', `dur=${times('1h')}`, 'taken'],
    ['base64', `by=${times('A')}`, 'taken'],
    ['escapes', `s=${times('%41')}`, 'taken'],
    ['JSON', `st=${times('[')}`, 'refused'],
  ];
  for (const [what, query, outcome] of queries) {
    it(`takes a query of ${what} in time`, () => {
      expect(within(() => build('GET /v1/echo', { query }))).to.equal(outcome);
    });
  }

  const streams: [what: string, text: string][] = [
    ['white space and brackets', `${times(' ')}${times('}')}`],
    ['small objects', times('{}')],
    ['opened objects', times('{"a":')],
    ['quotes', times('"')],
  ];
  for (const [what, text] of streams) {
    it(`cuts a stream of ${what} in time`, () => {
      const splitter = new JsonSplitter();
      within(() => {
        for (let at = 0; at < text.length; at += 100) splitter.push(text.slice(at, at + 100));
      });
    });
  }
});

/** A list inside as many google.protobuf.Any. */
function nested(depth: number, items: string): string {
  const type = (name: string) => `{"@type":"type.googleapis.com/google.protobuf.${name}","value":`;
  return `${type('Any').repeat(depth)}${type('ListValue')}[${items}1]}${'}'.repeat(depth)}`;
}

/** As many pieces as are as long, each with a number of its own in place of `$`. */
function distinct(piece: string): string {
  return Array.from({ length: SIZE / (piece.length + 4) }, (_, i) => piece.replace('$', String(i))).join('');
}
