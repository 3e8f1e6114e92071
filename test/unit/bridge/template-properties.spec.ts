import { expect } from 'chai';
import fc from 'fast-check';
import { covers, describePath } from '../../../src/bridge/openapi-paths.js';
import { bytesOfText, decodePercent, EscapeError, hasBadUtf8 } from '../../../src/bridge/percent.js';
import { matchTemplate } from '../../../src/bridge/router.js';
import { parseTemplate, type Segment, type Template } from '../../../src/bridge/template.js';
import { text } from '../../support/gateway/message-arbitrary.js';
import { propertyOptions } from '../../support/property.js';

const literal = fc.stringMatching(/^[A-Za-z0-9._~-]{1,6}$/);
const field = fc.stringMatching(/^[a-z_][a-z0-9_]{0,3}(\.[a-z][a-z0-9]{0,2}){0,2}$/);
const plainSegment = fc.oneof({ weight: 3, arbitrary: literal }, { weight: 1, arbitrary: fc.constant('*') });
const variable = fc
  .tuple(field, fc.option(fc.array(plainSegment, { minLength: 1, maxLength: 3 }), { nil: undefined }))
  .map(([name, inside]) => (inside === undefined ? `{${name}}` : `{${name}=${inside.join('/')}}`));
const verb = fc.oneof(
  fc.constant(''),
  literal.map((name) => `:${name}`),
);

/** Templates by the grammar, with at most one `**`, which may stand anywhere. */
const templates = fc
  .record({
    segments: fc.array(fc.oneof(plainSegment, variable), { minLength: 1, maxLength: 5 }),
    many: fc.option(
      fc.record({
        at: fc.nat(5),
        text: fc.oneof(
          fc.constant('**'),
          field.map((name) => `{${name}=**}`),
        ),
      }),
    ),
    verb,
  })
  .map(({ segments, many, verb: end }) => {
    const all = [...segments];
    if (many !== null) all.splice(many.at % (all.length + 1), 0, many.text);
    return `/${all.join('/')}${end}`;
  });

function print({ segments, captures, verb: end }: Template): string {
  const textOf = (segment: Segment) =>
    segment.kind === 'literal' ? segment.text : { one: '*', many: '**' }[segment.kind];
  const parts: string[] = [];
  for (let at = 0; at < segments.length; ) {
    const capture = captures.find(({ from }) => from === at);
    const to = capture?.to ?? at + 1;
    const inside = segments.slice(at, to).map(textOf).join('/');
    parts.push(capture === undefined ? inside : `{${capture.field}=${inside}}`);
    at = to;
  }
  return `/${parts.join('/')}${end === '' ? '' : `:${end}`}`;
}

describe('path templates', () => {
  it('come out as they went in', () => {
    fc.assert(
      fc.property(templates, (template) => {
        const whole = template.replace(/\{([^}=]+)\}/g, '{$1=*}');
        expect(print(parseTemplate(template))).to.equal(whole);
        expect(parseTemplate(whole)).to.deep.equal(parseTemplate(template));
      }),
      propertyOptions(2000),
    );
  });

  /** What stands in one wildcard: anything without a slash, also nothing, also a colon. */
  const value = fc
    .oneof(text, fc.constantFrom('', ':', 'a:b', '*', '{x}'))
    .map((part) => part.replaceAll('/', ''));

  it('give back the values of a path that was made of them', () => {
    fc.assert(
      fc.property(
        templates,
        fc.array(value, { minLength: 40, maxLength: 40 }),
        fc.nat(3),
        (source, values, many) => {
          const template = parseTemplate(source);
          let next = 0;
          const take = () => values[next++ % values.length] ?? '';
          const texts = template.segments.map((segment) => {
            if (segment.kind === 'literal') return [segment.text];
            return Array.from({ length: segment.kind === 'one' ? 1 : many }, take);
          });
          const path = texts.flat();
          if (template.verb !== '') path.push(`${path.pop() ?? ''}:${template.verb}`);
          // Without any segment there is no place for the verb.
          fc.pre(texts.flat().length > 0);
          // A verb alone is no segment.
          fc.pre(template.verb === '' || texts.flat().at(-1) !== '');
          const wanted = template.captures.map(({ field: name, from, to }) => [
            name,
            texts.slice(from, to).flat().join('/'),
          ]);
          const got = matchTemplate(template, path.map(bytesOfText));
          expect(got && [...got]).to.deep.equal([...new Map(wanted as [string, string][])]);
        },
      ),
      propertyOptions(3000),
    );
  });

  it('are refused in words that name them, whatever they hold', () => {
    const pieces = fc.constantFrom('/', '{', '}', '=', '*', '**', ':', '.', 'a', 'b', '%2F', ' ');
    const anything = fc.oneof(
      fc.string(),
      fc.array(pieces, { maxLength: 12 }).map((parts) => `/${parts.join('')}`),
    );
    fc.assert(
      fc.property(anything, (source) => {
        // An empty verb is not printed, and what stands before it may hold a colon.
        fc.pre(!/::|:$/.test(source));
        try {
          const printed = print(parseTemplate(source));
          expect(
            attempt(() => parseTemplate(printed)),
            printed,
          ).not.to.equal(undefined);
        } catch (err) {
          expect(err).to.be.instanceOf(Error);
          expect(String(err)).to.contain(`path template "${source}" `);
        }
      }),
      propertyOptions(3000),
    );
  });

  it('cover themselves, and are described with a parameter for each wildcard', () => {
    fc.assert(
      fc.property(templates, (source) => {
        const template = parseTemplate(source);
        expect(covers(template, template)).to.equal(true);
        const { path, parameters } = describePath(template);
        const names = [...path.matchAll(/\{([^}]*)\}/g)].map(([, name]) => name);
        expect(names).to.deep.equal(parameters.map(({ name }) => name));
        expect(new Set(names).size).to.equal(names.length);
      }),
      propertyOptions(1000),
    );
  });
});

describe('percent escapes of any text', () => {
  it('decode to what was encoded', () => {
    fc.assert(
      fc.property(text, (whole) => {
        expect(decodePercent(encodeURIComponent(whole))).to.equal(whole);
      }),
      propertyOptions(1000),
    );
  });

  it('are refused alone when they are not hexadecimal, and bad bytes are found again', () => {
    const pieces = fc.constantFrom(
      '%',
      '%4',
      '%zz',
      '%41',
      '%FF',
      '%C3',
      '%A9',
      '%f0%9f%98%80',
      'a',
      'é',
      '+',
    );
    fc.assert(
      fc.property(fc.array(pieces, { maxLength: 10 }), (parts) => {
        const source = parts.join('');
        const isBroken = /%(?![0-9a-f]{2})/i.test(source);
        try {
          const decoded = decodePercent(bytesOfText(source));
          expect(isBroken).to.equal(false);
          const isWellFormed = attempt(() => decodeURIComponent(source)) !== undefined;
          expect(hasBadUtf8(decoded), source).to.equal(!isWellFormed);
        } catch (err) {
          if (!(err instanceof EscapeError)) throw err;
          expect(isBroken).to.equal(true);
        }
      }),
      propertyOptions(2000),
    );
  });
});

function attempt<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
