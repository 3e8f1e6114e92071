import { Metadata, type ServiceError } from '@grpc/grpc-js';
import { expect } from 'chai';
import { GatewayError } from '../../../src/bridge/gateway-error.js';

describe('GatewayError', () => {
  it('takes a status that is no number for a broken answer, since JSON has no NaN', () => {
    for (const code of [Number.NaN, 1.5, 2 ** 40]) {
      const err: ServiceError = Object.assign(new Error(), { code, details: 'x', metadata: new Metadata() });
      expect(GatewayError.fromCall(err, undefined), String(code)).to.include({
        code: 13,
        http: 500,
        message: 'transport: malformed grpc-status',
      });
    }
  });
});
