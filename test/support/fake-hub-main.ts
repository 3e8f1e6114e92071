// Plays `vm-agent hub` for tests of `up` and `down`: takes the lock of the home and serves until SIGTERM.
import { mkdir } from 'node:fs/promises';
import { isLock, takeLock } from '../../src/base/lock-file.js';
import { homePaths } from '../../src/config/home.js';
import { FakeOperatorHub } from './fake-operator-hub.js';

const flags = new Map(
  process.argv.slice(3).map((arg) => arg.replace(/^--/, '').split('=', 2) as [string, string]),
);
const paths = homePaths(flags.get('home') ?? '');
const port = Number(flags.get('grpc')?.split(':')[1]);
if (flags.get('log-level') === 'error') {
  process.stderr.write('the port is taken by another program\n');
  process.exit(1);
}
await mkdir(paths.dataDir, { recursive: true });
const lock = await takeLock(paths.lockFile);
if (!isLock(lock)) process.exit(1);
const hub = await new FakeOperatorHub().start(port);
process.on('SIGTERM', () => {
  hub.stop();
  void lock.close().then(() => process.exit(0));
});
