import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** The certificates that this host trusts, as Debian and its relatives put them together. */
const BUNDLE = '/etc/ssl/certs/ca-certificates.crt';
/** Those that every Debian has. */
const PACKAGED = '/usr/share/ca-certificates';
const CERTIFICATE = /-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----/g;

/** Files to look into; other places are for tests. */
export interface TrustPlaces {
  readonly bundle?: string;
  readonly packaged?: string;
}

/** A certificate authority that this host trusts and a plain Debian does not. */
export interface ExtraAuthority {
  /** File name for it. */
  readonly file: string;
  readonly pem: string;
}

/** What somebody added to the certificate authorities of this host. */
export async function extraAuthorities(places: TrustPlaces = {}): Promise<readonly ExtraAuthority[]> {
  const { bundle = BUNDLE, packaged = PACKAGED } = places;
  const trusted = certificatesIn(await readFile(bundle, 'utf8').catch(() => ''));
  const usual = new Set(await packagedCertificates(packaged));
  return trusted
    .filter((pem) => !usual.has(pem))
    .map((pem) => {
      const hash = createHash('sha256').update(pem).digest('hex').slice(0, 16);
      return { file: `host-${hash}.crt`, pem: `${pem}\n` };
    });
}

async function packagedCertificates(dir: string): Promise<readonly string[]> {
  const entries = await readdir(dir, { recursive: true, withFileTypes: true }).catch(() => []);
  const files = entries.filter((entry) => entry.isFile() && entry.name.endsWith('.crt'));
  const texts = await Promise.all(files.map((file) => readFile(join(file.parentPath, file.name), 'utf8')));
  return texts.flatMap(certificatesIn);
}

/** All certificates of a text, each once, in one form. */
function certificatesIn(text: string): readonly string[] {
  const found = text.match(CERTIFICATE) ?? [];
  return [...new Set(found.map((pem) => pem.replace(/\r/g, '').replace(/\n+/g, '\n')))];
}
