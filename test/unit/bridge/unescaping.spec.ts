import { expect } from 'chai';
import { GatewayError } from '../../../src/bridge/gateway-error.js';
import { parseTarget, unescapePath } from '../../../src/bridge/request-target.js';
import { Router } from '../../../src/bridge/router.js';
import { parseTemplate } from '../../../src/bridge/template.js';
import { UNESCAPING_MODES, type UnescapingMode } from '../../../src/bridge/unescaping.js';

const ROUTES = ['/one/{name}', '/{name=deep/**}', '/lit/a%20b/{name}', '/v/{name}:start'];

function nameOf(mode: UnescapingMode, path: string): string {
  const routes = ROUTES.map((text) => ({ method: 'GET', template: parseTemplate(text), target: text }));
  try {
    const found = new Router(routes, mode).match('GET', unescapePath(path));
    return found.kind === 'found' ? (found.params.get('name') ?? '') : found.kind;
  } catch (err) {
    return err instanceof GatewayError ? `${err.http} ${err.code} ${err.message}` : String(err);
  }
}

describe('unescaping of paths', () => {
  const broken = '400 2 malformed path escape "%b"';
  /** What each mode makes of a path, in the order of UNESCAPING_MODES. */
  const rows: [path: string, ...names: string[]][] = [
    ['/one/a%2Fb', 'not-found', 'a/b', 'a/b', 'not-found'],
    ['/one/a%2fb', 'not-found', 'a/b', 'a/b', 'a/b'],
    ['/one/a%20b', 'a b', 'a b', 'a b', 'a b'],
    ['/one/a+b', 'a+b', 'a+b', 'a+b', 'a+b'],
    ['/one/%E2%82%AC', '€', '€', '€', '€'],
    ['/one/a%25b', 'a%b', broken, broken, broken],
    ['/one/a%2Fb%25', 'not-found', 'a/b%', 'a/b%', 'not-found'],
    ['/deep/a%2Fb/c%20d', 'deep/a/b/c d', 'deep/a%2Fb/c d', 'deep/a%2Fb/c d', 'deep/a/b/c d'],
    ['/deep/a%3Ab%2F', 'deep/a:b/', 'deep/a%3Ab%2F', 'deep/a:b%2F', 'deep/a:b/'],
    ['/lit/a%20b/!', 'not-found', '!', '!', '!'],
    ['/v/x%3Astart', 'x', 'not-found', 'not-found', 'not-found'],
  ];
  for (const [path, ...names] of rows) {
    it(`of ${path} is as in grpc-gateway, in each mode`, () => {
      expect(UNESCAPING_MODES.map((mode) => nameOf(mode, path))).to.deep.equal(names);
    });
  }
});

describe('parseTarget', () => {
  const rows: [url: string, host: string, path: string, query: string][] = [
    ['/a/b?c=d?e', '', '/a/b', 'c=d?e'],
    ['/a#b', '', '/a#b', ''],
    ['//a/b', '', '//a/b', ''],
    ['http://h:1/a?b', 'h:1', '/a', 'b'],
    ['HTTPS://u@h/a', 'h', '/a', ''],
    ['http://h', 'h', '', ''],
    ['http:/a', '', '/a', ''],
    ['a:b', '', '', ''],
    ['*', '', '*', ''],
  ];
  for (const [url, host, path, query] of rows) {
    it(`takes ${url} apart as Go does`, () => expect(parseTarget(url)).to.deep.equal({ host, path, query }));
  }
});
