import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { packageRoot } from '../../../src/base/package-root.js';
import { type Binding, readBindings, readDescriptors } from '../../../src/bridge/bindings.js';
import { acceptHubShorthands } from '../../../src/bridge/hub-leniency.js';

describe('acceptHubShorthands', () => {
  let bindings: Binding[];

  before(() => {
    const bytes = readFileSync(join(packageRoot(), 'gen/descriptors.binpb'));
    bindings = readBindings(readDescriptors(bytes)).map(({ target }) => target);
  });

  const prepare = (httpMethod: string, path: string, json: Parameters<typeof acceptHubShorthands>[1]) => {
    const binding = bindings.find(
      (candidate) => candidate.httpMethod === httpMethod && candidate.path === path,
    );
    if (binding === undefined) throw new Error(`no route ${httpMethod} ${path}`);
    return acceptHubShorthands(binding, json);
  };

  it('takes a comma list of capabilities apart when an agent is made', () => {
    const json = { name: 'a', capabilities: 'docker, node,' };
    expect(prepare('POST', '/agents', json)).to.deep.equal({ name: 'a', capabilities: ['docker', 'node'] });
  });

  it('leaves everything else as it is', () => {
    expect(prepare('POST', '/agents', { capabilities: ['a'] })).to.deep.equal({ capabilities: ['a'] });
    expect(prepare('POST', '/agents', null)).to.equal(null);
    expect(prepare('POST', '/tasks', { capabilities: 'a,b' })).to.deep.equal({ capabilities: 'a,b' });
  });
});
