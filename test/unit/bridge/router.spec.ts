import { expect } from 'chai';
import { unescapePath } from '../../../src/bridge/request-target.js';
import { Router } from '../../../src/bridge/router.js';
import { parseTemplate } from '../../../src/bridge/template.js';

const routerOf = (...paths: string[]) =>
  new Router(
    paths.map((text) => {
      const [method = '', path = ''] = text.split(' ');
      return { method, template: parseTemplate(path), target: text };
    }),
  );

function check(
  paths: string[],
  method: string,
  path: string,
  expected: [target: string, params: object] | string,
): void {
  it(`${method} ${path} among ${paths.join(', ')}`, () => {
    const result = routerOf(...paths).match(method, unescapePath(path));
    if (typeof expected === 'string') expect(result.kind).to.equal(expected);
    else if (result.kind !== 'found') expect.fail(`got ${result.kind}`);
    else expect([result.target, Object.fromEntries(result.params)]).to.deep.equal(expected);
  });
}

describe('Router', () => {
  describe('takes the route declared last', () => {
    const paths = ['GET /a/fixed', 'GET /a/{x}'];
    check(paths, 'GET', '/a/fixed', ['GET /a/{x}', { x: 'fixed' }]);
    check([...paths].reverse(), 'GET', '/a/fixed', ['GET /a/fixed', {}]);
  });

  describe('matches segments', () => {
    check(['GET /a/{x}'], 'GET', '/a/', ['GET /a/{x}', { x: '' }]);
    check(['GET /a/{x}'], 'GET', '/a/b/c', 'not-found');
    check(['GET /a/{x}'], 'GET', '/A/b', 'not-found');
    check(['GET /a/*/{x}'], 'GET', '/a/any/b', ['GET /a/*/{x}', { x: 'b' }]);
    check(['GET /{n=p/*/v/*}'], 'GET', '/p/1/v/2', ['GET /{n=p/*/v/*}', { n: 'p/1/v/2' }]);
    check(['GET /{n=d/**}'], 'GET', '/d', ['GET /{n=d/**}', { n: 'd/' }]);
    check(['GET /{n=d/**}/tail'], 'GET', '/d/a/b/tail', ['GET /{n=d/**}/tail', { n: 'd/a/b' }]);
    check(['GET /'], 'GET', '/', ['GET /', {}]);
  });

  describe('matches verbs', () => {
    const tasks = ['GET /tasks/{task}', 'POST /tasks/{task}:cancel'];
    check(tasks, 'POST', '/tasks/t:1:cancel', ['POST /tasks/{task}:cancel', { task: 't:1' }]);
    check(tasks, 'GET', '/tasks/t:cancel', ['GET /tasks/{task}', { task: 't:cancel' }]);
    check(tasks, 'POST', '/tasks/:cancel', 'not-found');
    check(['GET /f/{n=**}:raw'], 'GET', '/f/a/b.txt:raw', ['GET /f/{n=**}:raw', { n: 'a/b.txt' }]);
  });

  describe('knows paths of other methods', () => {
    check(['GET /a'], 'DELETE', '/a', 'wrong-method');
    check(['GET /a'], 'DELETE', '/b', 'not-found');
  });

  for (const bad of [
    'a',
    '/{x',
    '/{x=**}/{y=**}',
    '/a/',
    '/{1x}',
    '/{x={y}}',
    '/a b',
    '/ü',
    '/a%2',
    '/x{y}',
  ]) {
    it(`refuses the template ${bad}`, () => expect(() => parseTemplate(bad)).to.throw(`"${bad}"`));
  }
});
