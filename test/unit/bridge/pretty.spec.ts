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
});
