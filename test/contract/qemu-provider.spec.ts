import { qemuHarness, qemuImages } from '../support/qemu-harness.js';
import { vmProviderSuite } from './vm-provider-suite.js';

vmProviderSuite('qemu', () => qemuHarness(), {
  timeoutMs: 240_000,
  possible: async () => (await qemuImages()) !== undefined,
});
