import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { extraAuthorities } from '../../../../src/vm/images/host-trust.js';

const pem = (text: string) =>
  `-----BEGIN CERTIFICATE-----\n${Buffer.from(text).toString('base64')}\n-----END CERTIFICATE-----\n`;

describe('extraAuthorities', () => {
  it('finds what somebody added to the certificates of this host', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'trust-'));
    try {
      await mkdir(join(dir, 'packaged', 'mozilla'), { recursive: true });
      await writeFile(join(dir, 'packaged', 'mozilla', 'usual.crt'), pem('usual'));
      const bundle = join(dir, 'bundle');
      await writeFile(
        bundle,
        `# a comment\n${pem('usual')}${pem('own').replaceAll('\n', '\r\n')}${pem('own')}`,
      );
      const found = await extraAuthorities({ bundle, packaged: join(dir, 'packaged') });
      expect(found.map((authority) => authority.pem)).deep.equal([pem('own')]);
      expect(found[0]?.file).match(/^host-[0-9a-f]{16}\.crt$/);
      expect(await extraAuthorities({ bundle: join(dir, 'none'), packaged: dir })).deep.equal([]);
    } finally {
      await rm(dir, { recursive: true });
    }
  });
});
