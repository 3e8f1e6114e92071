import { qemuHarness, qemuMissing } from '../support/qemu-harness.js';
import { vmProviderSuite } from './vm-provider-suite.js';

const missing = await qemuMissing();
if (missing === undefined) vmProviderSuite('qemu', () => qemuHarness(), { timeoutMs: 240_000 });
else console.log(`SKIPPED: the contract suite against qemu (${missing})`);
