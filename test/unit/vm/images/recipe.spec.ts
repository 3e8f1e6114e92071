import { expect } from 'chai';
import { checkSuite } from '../../../../src/vm/images/apt-host.js';
import {
  architectureOf,
  checkPackages,
  overlayFiles,
  packagesFor,
} from '../../../../src/vm/images/recipe.js';

const APT = { sources: [], options: [], buildOptions: [] };

function fileOf(path: string, env: NodeJS.ProcessEnv = {}, pems: readonly string[] = []): string | undefined {
  const authorities = pems.map((pem, i) => ({ file: `host-${i}.crt`, pem }));
  return overlayFiles(APT, authorities, env).find((file) => file.path === path)?.text;
}

describe('checkPackages', () => {
  it('takes names of Debian packages, each once', () => {
    expect(checkPackages(['jq', ' g++ ', '', 'libc6.1', 'jq'])).deep.equal(['g++', 'jq', 'libc6.1']);
  });

  const bad = ['-y', '--x', 'a', 'A1', 'a b', 'a;b', 'a/bookworm', 'a=1', '?x', '~n', 'a'.repeat(65), 'ä1'];
  for (const name of bad) {
    it(`refuses ${JSON.stringify(name.slice(0, 20))}`, () => {
      expect(() => checkPackages(['git', name]))
        .throw(/^packages: at most 200 names/)
        .property('reason', 'INVALID_FIELD');
    });
  }

  it('refuses too many', () => {
    expect(() => checkPackages(Array.from({ length: 201 }, (_, i) => `package-${i}`))).throw(/at most 200/);
  });
});

describe('checkSuite', () => {
  it('takes names of releases and refuses everything else', () => {
    expect(checkSuite('bookworm')).equal('bookworm');
    for (const bad of ['', '-x', '../x', 'a b', 'Bookworm', 'x'.repeat(40), 'deb http://x']) {
      expect(() => checkSuite(bad), bad).throw(/^suite: /);
    }
  });
});

describe('packagesFor', () => {
  it('has a kernel for the processor and each package once', () => {
    const packages = packagesFor(architectureOf('arm64'), ['git', 'jq']);
    expect(packages).include.members(['linux-image-cloud-arm64', 'python3-pip', 'jq']);
    expect(packages.filter((name) => name === 'git')).length(1);
  });

  it('knows the processors that images can be built on', () => {
    expect(architectureOf('x64').machine).equal('x86_64');
    expect(() => architectureOf('ia32')).throw(/only on x64 and arm64/);
  });
});

describe('overlayFiles', () => {
  it('lets pip work as it is documented', () => {
    expect(fileOf('etc/pip.conf')).contain('break-system-packages = true');
  });

  it('hands on what the host trusts', () => {
    const pem = '-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n';
    expect(fileOf('usr/local/share/ca-certificates/host-0.crt', {}, [pem])).equal(pem);
    expect(fileOf('etc/environment', {}, [pem])).contain('NODE_EXTRA_CA_CERTS=/etc/ssl/vm-agent-host.pem');
    expect(fileOf('etc/environment')).equal('LANG=C.UTF-8\n');
  });

  it('hands on proxies and indexes, but no passwords and nothing that is more than one word', () => {
    const env = {
      HTTP_PROXY: 'http://proxy.example:3128',
      https_proxy: 'http://me:secret@proxy.example:3128',
      PIP_INDEX_URL: 'https://pypi.example/simple',
      PIP_TRUSTED_HOST: 'a\nEVIL=1',
      NPM_CONFIG_REGISTRY: 'https://npm.example/$(id)',
      SECRET: 'x',
    };
    expect(fileOf('etc/environment', env)).equal(
      'LANG=C.UTF-8\nhttp_proxy=http://proxy.example:3128\nPIP_INDEX_URL=https://pypi.example/simple\n',
    );
  });
});
