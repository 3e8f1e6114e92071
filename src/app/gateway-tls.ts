import { readFileSync } from 'node:fs';
import type { ChannelCredentials, credentials } from '@grpc/grpc-js';
import { messageOf } from '../base/errno.js';
import type { HttpTls } from '../bridge/http-server.js';
import { HubError } from '../model/hub-error.js';

/** Files of the TLS of a gateway, by the names of their options. */
export interface GatewayTlsFiles {
  /** Certificate chain with which the gateway serves HTTPS. */
  readonly tlsCert?: string | undefined;
  readonly tlsKey?: string | undefined;
  /** Authorities of clients: who has no certificate of theirs is not let in. */
  readonly tlsClientCa?: string | undefined;
  /** Speak TLS to the target, with the authorities of this host. */
  readonly targetTls?: boolean | undefined;
  /** Authorities of the target. */
  readonly targetCa?: string | undefined;
  /** Certificate chain that is shown to the target. */
  readonly targetCert?: string | undefined;
  readonly targetKey?: string | undefined;
}

/**
 * How the gateway listens: with TLS when it has a certificate.
 *
 * @throws HubError INVALID_FIELD naming the option whose file is missing, or the option that is.
 */
export function listeningTls({ tlsCert, tlsKey, tlsClientCa }: GatewayTlsFiles): HttpTls | undefined {
  if (tlsCert === undefined && tlsKey === undefined && tlsClientCa === undefined) return undefined;
  if (tlsCert === undefined || tlsKey === undefined) {
    throw missing(
      tlsCert === undefined ? '--tls-cert' : '--tls-key',
      'HTTPS needs a certificate and its key',
    );
  }
  const own = { cert: readFile('--tls-cert', tlsCert), key: readFile('--tls-key', tlsKey) };
  return tlsClientCa === undefined ? own : { ...own, clientCa: readFile('--tls-client-ca', tlsClientCa) };
}

/**
 * How the target is spoken to.
 *
 * @param make makes credentials, of the copy of grpc-js that dials.
 * @throws HubError INVALID_FIELD as {@link listeningTls}.
 */
export function targetCredentials(files: GatewayTlsFiles, make: typeof credentials): ChannelCredentials {
  const { targetTls, targetCa, targetCert, targetKey } = files;
  const isSecure = [targetCa, targetCert, targetKey].some((file) => file !== undefined);
  if (!isSecure && targetTls !== true) return make.createInsecure();
  if ((targetCert === undefined) !== (targetKey === undefined)) {
    const option = targetCert === undefined ? '--target-cert' : '--target-key';
    throw missing(option, 'a client certificate and its key belong together');
  }
  const read = (option: string, file: string | undefined) =>
    file === undefined ? null : readFile(option, file);
  const [ca, cert, key] = [
    read('--target-ca', targetCa),
    read('--target-cert', targetCert),
    read('--target-key', targetKey),
  ];
  try {
    return make.createSsl(ca, key, cert);
  } catch (err) {
    const description = `the certificates for the target cannot be used: ${messageOf(err)}`;
    throw HubError.invalid({ field: '--target-cert', description });
  }
}

/** Reads a file that an option names. @throws HubError INVALID_FIELD. */
export function readFile(option: string, file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (err) {
    throw HubError.invalid({ field: option, description: `the file cannot be read: ${messageOf(err)}` });
  }
}

function missing(option: string, why: string): HubError {
  return HubError.invalid({ field: option, description: `is missing: ${why}` });
}
