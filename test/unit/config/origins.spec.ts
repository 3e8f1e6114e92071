import { expect } from 'chai';
import { parseOrigins } from '../../../src/config/origins.js';

describe('parseOrigins', () => {
  it('reads a comma list of exact origins', () => {
    expect(parseOrigins('https://ops.example, http://localhost:3000,http://[::1]:8080')).to.deep.equal({
      origins: ['https://ops.example', 'http://localhost:3000', 'http://[::1]:8080'],
    });
    expect(parseOrigins('')).to.deep.equal({ origins: [] });
  });

  const bad = [
    '*',
    'null',
    'https://ops.example/',
    'https://OPS.example',
    'https://ops.example:443',
    'ops.example',
    'https://*.ops.example',
    'file:///x',
  ];
  for (const origin of bad) {
    it(`refuses ${origin} and says what is allowed`, () => {
      const { origins, problem } = parseOrigins(`http://localhost:1,${origin}`);
      expect(origins).to.deep.equal([]);
      expect(problem)
        .to.match(/^exact origins such as/)
        .and.contain(origin);
    });
  }
});
