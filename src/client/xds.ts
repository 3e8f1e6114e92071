import { createRequire } from 'node:module';
import { isErrno } from '../base/errno.js';
import { HubError } from '../model/hub-error.js';

type GrpcModule = typeof import('@grpc/grpc-js');

let registered = false;

/**
 * Answers the grpc-js that understands `xds:` addresses, once taught for the process. Costs about half a second and
 * 70 MB, so it is loaded for such addresses only. It may be another copy of grpc-js than the one bundled with this
 * program, because the xds package teaches the copy that it finds beside itself.
 *
 * @throws HubError NOT_SUPPORTED when the optional package is not installed.
 */
export async function loadXdsGrpc(): Promise<GrpcModule> {
  const require = createRequire(import.meta.url);
  const { register } = await import('@grpc/grpc-js-xds').catch((err: unknown) => {
    if (!isErrno(err, 'ERR_MODULE_NOT_FOUND', 'MODULE_NOT_FOUND')) throw err;
    const message =
      'xds: addresses need the optional package @grpc/grpc-js-xds; install it with npm, or use HOST:PORT';
    throw new HubError('NOT_SUPPORTED', message, { cause: err });
  });
  if (!registered) register();
  registered = true;
  return require('@grpc/grpc-js') as GrpcModule;
}
