import { expect } from 'chai';
import fc from 'fast-check';
import { indentJson } from '../../../src/bridge/pretty.js';

describe('indentJson', () => {
  it('puts each member on a line of its own', () => {
    expect(indentJson('{"a":[1,-0,1e+21],"b":{},"c":[],"d":{"e":"x, {y}: \\"z"}}')).to.equal(
      [
        '{',
        '  "a": [',
        '    1,',
        '    -0,',
        '    1e+21',
        '  ],',
        '  "b": {},',
        '  "c": [],',
        '  "d": {',
        '    "e": "x, {y}: \\"z"',
        '  }',
        '}',
      ].join('\n'),
    );
  });

  it('writes what JSON.stringify writes, however the text was spaced', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.constantFrom(undefined, 1, '\t'), (value, space) => {
        const text = JSON.stringify(value, null, space);
        expect(indentJson(text)).to.equal(JSON.stringify(value, null, 2));
      }),
    );
  });

  it('does not make a huge text of deep ones', () => {
    const [open, close] = ['['.repeat(1000), ']'.repeat(1000)];
    const text = `${open}${Array(50_000).fill('null').join(',')}${close}`;
    const pretty = indentJson(text);
    expect(pretty.length - text.length).to.be.lessThan(17 * 1024 * 1024);
    expect(JSON.stringify(JSON.parse(pretty))).to.equal(text);
  });
});
