import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run } from '../../../src/base/process.js';

/** Files of an authority, and of certificates that it gave to a server and a client. */
export interface Certificates extends Disposable {
  readonly ca: string;
  readonly server: { readonly cert: string; readonly key: string };
  readonly client: { readonly cert: string; readonly key: string };
}

/** Makes them with openssl, in a temporary folder; undefined when this host has no openssl. */
export async function makeCertificates(): Promise<Certificates | undefined> {
  const dir = mkdtempSync(join(tmpdir(), 'certificates-'));
  const file = (name: string) => join(dir, name);
  const openssl = async (...args: string[]) => {
    const { code, stderr } = await run('openssl', args);
    if (code !== 0) throw new Error(`openssl ${args[0]} failed: ${stderr}`);
  };
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  const issue = async (name: string) => {
    writeFileSync(file(`${name}.ext`), 'subjectAltName=DNS:localhost,IP:127.0.0.1');
    const [key, request, cert] = [file(`${name}.key`), file(`${name}.csr`), file(`${name}.pem`)];
    await openssl('req', ...newKey, '-keyout', key, '-out', request, '-subj', `/CN=${name}`);
    const authority = ['-CA', file('ca.pem'), '-CAkey', file('ca.key'), '-CAcreateserial'];
    await openssl(
      'x509',
      '-req',
      '-in',
      request,
      ...authority,
      '-out',
      cert,
      '-extfile',
      file(`${name}.ext`),
    );
    return { cert, key };
  };
  const version = await run('openssl', ['version']).catch(() => undefined);
  if (version?.code !== 0) {
    rmSync(dir, { recursive: true });
    return undefined;
  }
  const [caKey, ca] = [file('ca.key'), file('ca.pem')];
  await openssl('req', '-x509', ...newKey, '-keyout', caKey, '-out', ca, '-subj', '/CN=tests', '-days', '2');
  const made = { ca, server: await issue('server'), client: await issue('client') };
  return { ...made, [Symbol.dispose]: () => rmSync(dir, { recursive: true, force: true }) };
}
