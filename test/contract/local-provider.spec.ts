import { localHarness } from '../support/local-harness.js';
import { vmProviderSuite } from './vm-provider-suite.js';

vmProviderSuite('local', () => localHarness());

vmProviderSuite('local, where the host allows no namespaces', () =>
  localHarness({ probe: async () => ({ mode: 'directory', reason: 'the test says so' }) }),
);

vmProviderSuite('local, with a user namespace', () =>
  localHarness({ probe: async () => ({ mode: 'user-namespaces', reason: '' }) }),
);
