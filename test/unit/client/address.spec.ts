import { expect } from 'chai';
import { parseAddress } from '../../../src/client/address.js';
import { HubError } from '../../../src/model/hub-error.js';

describe('parseAddress', () => {
  const cases: [string, string, boolean][] = [
    ['127.0.0.1:9090', 'tcp', true],
    ['localhost:9090', 'tcp', true],
    ['[::1]:9090', 'tcp', true],
    ['127.8.8.8:1', 'tcp', true],
    ['hub.example.org:9090', 'tcp', false],
    ['127.0.0.1.example.org:9090', 'tcp', false],
    ['10.0.0.1:9090', 'tcp', false],
    ['unix:/run/hub.sock', 'unix', true],
    ['unix:///run/hub.sock', 'unix', true],
    ['dns:///localhost:9090', 'dns', false],
    ['xds:///vm-hub', 'xds', false],
  ];
  for (const [text, kind, local] of cases) {
    it(`${text} is ${kind}, ${local ? 'local' : 'remote'}`, () => {
      expect(parseAddress(text)).deep.equal({ target: text, kind, local });
    });
  }

  for (const text of [
    '',
    'localhost',
    'host:0',
    'host:99999',
    'http://x:1',
    'unix:',
    `unix:/${'x'.repeat(120)}`,
  ]) {
    it(`refuses '${text.slice(0, 20)}'`, () => expect(() => parseAddress(text)).throw(HubError, 'hub:'));
  }
});
