import { existsSync, readFileSync } from 'node:fs';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { hostApt } from '../../../../src/vm/images/apt-host.js';

const USUAL = [
  'deb http://deb.debian.org/debian trixie main',
  'deb http://deb.debian.org/debian trixie-updates main',
  'deb http://deb.debian.org/debian-security trixie-security main',
];

describe('hostApt', () => {
  const release = existsSync('/etc/os-release') ? readFileSync('/etc/os-release', 'utf8') : '';
  const host = /^ID=debian$/m.test(release) ? /^VERSION_CODENAME=(\S+)$/m.exec(release)?.[1] : undefined;
  let dir: string;

  before(function () {
    if (host !== undefined) return;
    console.warn('SKIPPED: where packages come from: this host is no Debian');
    this.skip();
  });
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'apt-'));
  });
  afterEach(() => rm(dir, { recursive: true, force: true }));

  /** Programs of these names that say this. */
  async function tools(programs: Readonly<Record<string, string>>) {
    for (const [name, script] of Object.entries(programs)) {
      await writeFile(join(dir, name), `#!/bin/sh\n${script}\n`);
      await chmod(join(dir, name), 0o755);
    }
    return { env: { PATH: `${dir}:/usr/bin:/bin` }, signal: AbortSignal.timeout(10_000) };
  }

  /** @param rows `uri|release|component|origin`; without an origin its lists were not fetched. */
  async function found(rows: readonly string[], config = ''): Promise<ReturnType<typeof hostApt>> {
    const cells = rows.map((row) => row.split('|'));
    const known = cells
      .filter(([, , , origin]) => origin)
      .map(([uri, name, , origin]) => `${uri}|${name}|${origin}`);
    const all = cells.map(([uri, name, component]) => `${uri}|${name}|${component}`);
    await writeFile(join(dir, 'known'), `${known.join('\n')}\n`);
    await writeFile(join(dir, 'all'), `${all.join('\n')}\n`);
    await writeFile(join(dir, 'config'), config);
    return hostApt(
      'trixie',
      await tools({
        'apt-get': `case "$*" in *--no-release-info*) cat ${dir}/all;; *) cat ${dir}/known;; esac`,
        'apt-config': `cat ${dir}/config`,
      }),
    );
  }

  it('takes the mirrors of the host for the suite that is wanted', async () => {
    const { sources } = await found([
      `http://mirror.example/debian/|${host}|main|Debian`,
      `http://mirror.example/debian/|${host}|contrib|Debian`,
      `http://mirror.example/debian/|${host}-backports|main|Debian`,
      `http://mirror.example/debian-security/|${host}-security|main|`,
    ]);
    expect(sources).deep.equal([
      'deb http://mirror.example/debian/ trixie main',
      'deb http://mirror.example/debian-security/ trixie-security main',
    ]);
  });

  it("leaves out what is not Debian's, has a password, or is on the host itself", async () => {
    const { sources } = await found([
      `https://vendor.example/apt/|${host}|main|Vendor`,
      `https://other.example/apt/|${host}|main|`,
      `https://me:secret@mirror.example/debian/|${host}|main|Debian`,
      `http://127.0.0.1:8080/debian/|${host}|main|Debian`,
    ]);
    expect(sources).deep.equal(USUAL);
  });

  it('takes the settings without which nothing is fetched; what only the host can use is for the build', async () => {
    const { options, buildOptions } = await found(
      [],
      [
        'Acquire::http::Proxy "http://localhost:3142";',
        'Acquire::https::Proxy "http://proxy.example:3128";',
        'Acquire::Check-Date "false";',
        'DPkg::Post-Invoke:: "rm -rf /";',
        'APT::Update::Pre-Invoke:: "x";',
      ].join('\n'),
    );
    expect(options).deep.equal([
      'Acquire::https::Proxy "http://proxy.example:3128";',
      'Acquire::Check-Date "false";',
    ]);
    expect(buildOptions).deep.equal(['Acquire::http::Proxy "http://localhost:3142";']);
  });
});
