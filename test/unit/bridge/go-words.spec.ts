import { expect } from 'chai';
import { goBase64 } from '../../../src/bridge/go-base64.js';
import { goQuote } from '../../../src/bridge/go-quote.js';
import { parseGoDuration, parseGoTime } from '../../../src/bridge/go-time.js';
import { parseMediaType } from '../../../src/bridge/media-type.js';
import { parseFloating } from '../../../src/bridge/scalars.js';

describe("Go's words", () => {
  describe('goQuote', () => {
    const rows: [text: string, quoted: string][] = [
      ['a"\\', '"a\\"\\\\"'],
      ['\u0007\b\f\n\r\t\v', '"\\a\\b\\f\\n\\r\\t\\v"'],
      ['\u0000\u007f', '"\\x00\\x7f"'],
      ['é€😀', '"é€😀"'],
      ['\udcff', '"\\xff"'],
      ['\u00a0\u200b', '"\\u00a0\\u200b"'],
    ];
    for (const [text, quoted] of rows) {
      it(`writes ${quoted}`, () => expect(goQuote(text)).to.equal(quoted));
    }
  });

  describe('times', () => {
    it('are read with commas, one digit of an hour, and a day of offset', () => {
      expect(parseGoTime('1970-01-02T00:00:00,5Z')).to.deep.equal({ seconds: 86_400n, nanos: 500_000_000 });
      expect(parseGoTime('1970-01-01T1:00:00Z').seconds).to.equal(3600n);
      expect(parseGoTime('1970-01-02T00:00:00+24:00').seconds).to.equal(0n);
    });
    const bad: [text: string, words: string][] = [
      ['2024-01-02', 'cannot parse "" as "T"'],
      ['x', 'cannot parse "x" as "2006"'],
      ['2024-13-01T00:00:00Z', '"2024-13-01T00:00:00Z": month out of range'],
      ['2023-02-29T00:00:00Z', 'day out of range'],
      ['2024-01-02T03:04:05Zx', 'extra text: "x"'],
      ['2024-01-02T03:04:05', 'cannot parse "" as "Z07:00"'],
    ];
    for (const [text, words] of bad) {
      it(`say what is wrong with ${text}`, () => expect(() => parseGoTime(text)).to.throw(words));
    }
  });

  describe('durations', () => {
    const bad: [text: string, words: string][] = [
      ['', 'time: invalid duration ""'],
      ['1', 'time: missing unit in duration "1"'],
      ['1d', 'time: unknown unit "d" in duration "1d"'],
      ['9223372037s', 'time: invalid duration'],
      ['1h-1m', 'time: unknown unit "h-" in duration "1h-1m"'],
    ];
    for (const [text, words] of bad) {
      it(`say what is wrong with ${JSON.stringify(text)}`, () =>
        expect(() => parseGoDuration(text)).to.throw(words));
    }
  });

  describe('base64', () => {
    const standard = { url: false, padded: true };
    const bad: [text: string, at: number][] = [
      ['AQI', 0],
      ['AQ=', 3],
      ['!!', 0],
      ['AQ==A', 4],
      ['A===', 1],
    ];
    for (const [text, at] of bad) {
      it(`names the byte at which ${text} is bad`, () =>
        expect(() => goBase64(text, standard)).to.throw(`illegal base64 data at input byte ${at}`));
    }
    it('takes line breaks, and bits that say nothing', () => {
      expect(goBase64('AQ\n==', standard)).to.deep.equal(Buffer.from([1]));
      expect(goBase64('AR==', standard)).to.deep.equal(Buffer.from([1]));
    });
  });

  describe('media types', () => {
    const rows: [text: string, type: string, error?: string][] = [
      ['Application/JSON; charset=utf-8', 'application/json'],
      ['a/b;', 'a/b'],
      ['a/b; c', 'a/b', 'mime: invalid media parameter'],
      ['a/b; c=d; C=e', '', 'mime: duplicate parameter name'],
      ['/', '', 'mime: no media type'],
      ['a/', '', 'mime: expected token after slash'],
      ['a b', '', 'mime: expected slash after first token'],
      ['a/b c', '', 'mime: unexpected content after media subtype'],
      ['a/b; c="d;e"', 'a/b'],
    ];
    for (const [text, type, error] of rows) {
      it(`of ${JSON.stringify(text)}`, () =>
        expect(parseMediaType(text)).to.deep.equal(error === undefined ? { type } : { type, error }));
    }
  });

  describe('floats', () => {
    const rows: [text: string, value: number][] = [
      ['0x1p-2', 0.25],
      ['0x1.8p1', 3],
      ['1_000.5', 1000.5],
      ['.5', 0.5],
      ['-inf', -Infinity],
    ];
    for (const [text, value] of rows) {
      it(`reads ${text}`, () => expect(parseFloating(text, 64)).to.equal(value));
    }
    for (const text of ['+nan', '1__0', '0x1', '1e', '']) {
      it(`refuses ${JSON.stringify(text)}`, () =>
        expect(() => parseFloating(text, 64)).to.throw('invalid syntax'));
    }
    it('refuses what is too large for 32 bits', () =>
      expect(() => parseFloating('3.5e38', 32)).to.throw('value out of range'));
  });
});
