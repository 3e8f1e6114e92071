import { expect } from 'chai';
import { parseRange } from '../../../src/bridge/byte-range.js';
import { parseGoDuration } from '../../../src/bridge/go-time.js';
import { scanJson } from '../../../src/bridge/json-scan.js';
import { JsonSplitter } from '../../../src/bridge/json-splitter.js';
import { numberText, quote } from '../../../src/bridge/json-text.js';
import { decodePercent, hasBadUtf8 } from '../../../src/bridge/percent.js';
import { parseInteger } from '../../../src/bridge/scalars.js';

describe('scanJson', () => {
  it('finds the first value and ignores what follows', () => {
    expect(scanJson(' {"a":[1,"}"]} junk')).to.deep.equal({ start: 1, end: 14 });
    expect(scanJson(' \n')).to.equal(undefined);
  });

  const bad: [text: string, message: string][] = [
    ['{"a":', 'unexpected EOF'],
    ['{a', "invalid character 'a' looking for beginning of object key string"],
    ['{"a":1,}', "invalid character '}' looking for beginning of object key string"],
    ['nope', "invalid character 'o' in literal null (expecting 'u')"],
    ['{"i":01}', "invalid character '1' after object key:value pair"],
    ['{"i":+1}', "invalid character '+' looking for beginning of value"],
    ['{"s":"\t"}', "invalid character '\\t' in string literal"],
    ['{"s":"\\q"}', "invalid character 'q' in string escape code"],
    ["{'s':1}", "invalid character '\\'' looking for beginning of object key string"],
    ['\u001f', "invalid character '\\x1f' looking for beginning of value"],
    ['['.repeat(34), 'JSON is nested deeper than 32 levels'],
  ];
  for (const [text, message] of bad) {
    it(`says "${message}"`, () => expect(() => scanJson(text)).to.throw(message));
  }
});

describe('JsonSplitter', () => {
  it('cuts objects wherever their text is broken', () => {
    const text = '{"a":"}\\"{"}\n{"b":[{}]} {"c":1}';
    for (let at = 0; at <= text.length; at++) {
      const splitter = new JsonSplitter();
      const parts = [...splitter.push(text.slice(0, at)), ...splitter.push(text.slice(at))];
      expect(parts.map((part) => part.trim())).to.deep.equal(['{"a":"}\\"{"}', '{"b":[{}]}', '{"c":1}']);
      expect(splitter.rest()).to.equal('');
    }
  });

  it('answers values of every kind, and keeps what may go on', () => {
    const splitter = new JsonSplitter();
    expect(splitter.push('[{"a":1}] "x\\""5 ,{}}')).to.deep.equal(['[{"a":1}]', '"x\\""', '5', ',', '{}']);
    expect(splitter.rest()).to.equal('}');
  });

  it('takes as long for a text that comes in single characters', () => {
    const splitter = new JsonSplitter();
    const whole = `{"a":"${'x'.repeat(1_000_000)}"}`;
    const complete: string[] = [];
    const startMs = performance.now();
    for (const char of whole) complete.push(...splitter.push(char));
    expect(complete).to.deep.equal([whole]);
    expect(performance.now() - startMs).to.be.lessThan(10_000);
  });
});

describe('JSON texts', () => {
  it('writes floats in their shortest form', () => {
    expect(
      [0.1, 3.4028234663852886e38, 16777216, -0].map((v) => numberText(Math.fround(v), 32)),
    ).to.deep.equal(['0.1', '3.4028235e+38', '16777216', '-0']);
    expect(numberText(1e21, 64)).to.equal('1e+21');
  });

  it('escapes for HTML only where asked', () => {
    expect(quote('<\u2028>', 'proto')).to.equal('"<\u2028>"');
    expect(quote('<\u2028>', 'html')).to.equal('"\\u003c\\u2028\\u003e"');
  });
});

describe('percent escapes', () => {
  it('keeps bad bytes apart from good text', () => {
    expect(decodePercent('a+b%20%E2%82%AC')).to.equal('a+b €');
    expect(hasBadUtf8(decodePercent('%FF'))).to.equal(true);
    expect(hasBadUtf8(decodePercent('%F0%9F%98%80'))).to.equal(false);
    expect(() => decodePercent('a%zz')).to.throw('invalid URL escape "%zz"');
  });
});

describe('Go scalars', () => {
  it('reads integers of any base in paths and decimals alone in queries', () => {
    expect(['0x10', '010', '0b11', '1_0', '-5'].map((text) => parseInteger(text, 32, 'any'))).to.deep.equal([
      16n,
      8n,
      3n,
      10n,
      -5n,
    ]);
    expect(() => parseInteger('0x10', 32, 'decimal')).to.throw(
      'strconv.ParseInt: parsing "0x10": invalid syntax',
    );
    expect(() => parseInteger('2147483648', 32, 'decimal')).to.throw('value out of range');
  });

  it('reads durations', () => {
    expect(parseGoDuration('-1h2m1.5s')).to.deep.equal({ seconds: -3721n, nanos: -500_000_000 });
    expect(() => parseGoDuration('1d')).to.throw('unknown unit "d" in duration "1d"');
  });
});

describe('parseRange', () => {
  const cases: [header: string | undefined, expected: unknown][] = [
    [undefined, undefined],
    ['bytes=0-0', { from: 0, to: 1 }],
    ['bytes=90-', { from: 90, to: 100 }],
    ['bytes=-5', { from: 95, to: 100 }],
    ['bytes=-500', { from: 0, to: 100 }],
    ['bytes=50-5000', { from: 50, to: 100 }],
    ['bytes=100-', 'unsatisfiable'],
    ['bytes=-0', 'unsatisfiable'],
    ['bytes=5-1', undefined],
    ['bytes=0-1,5-6', undefined],
    ['lines=0-1', undefined],
  ];
  for (const [header, expected] of cases) {
    it(`of ${header} in 100 bytes`, () => expect(parseRange(header, 100)).to.deep.equal(expected));
  }
});
