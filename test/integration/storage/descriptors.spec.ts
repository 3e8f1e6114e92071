import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
/** Descriptors that the servers may have, and connections that are made. */
const LIMIT = 100;
const CONNECTIONS = 300;

const SERVERS = `(async () => {
  const { listenHttp } = await import('./src/bridge/http-server.ts');
  const { Door } = await import('./src/rpc/door.ts');
  const { silentLogger: log } = await import('./src/base/logger.ts');
  const http = await listenHttp((req, res) => {
    if (req.url === '/slow') { res.write('begin '); process.once('SIGUSR2', () => res.end('end')); }
    else res.end('ok');
  }, { host: '127.0.0.1', port: 0 });
  const door = new Door({ log, maxReceiveBytes: 1024, maxStreams: 10 });
  console.log(JSON.stringify([http.port, await door.listen('127.0.0.1:0')]));
})()`;

describe('servers without free descriptors (fault case 122)', function () {
  this.timeout(30_000);

  it('keep what is open, and accept again once there are some', async () => {
    const line = `ulimit -n ${LIMIT}; exec "$0" --import tsx -e "$1"`;
    const child = spawn('sh', ['-c', line, process.execPath, SERVERS], {
      cwd: ROOT,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const sockets: Socket[] = [];
    try {
      const [data] = (await once(child.stdout, 'data')) as [Buffer];
      const [http = 0, door = 0] = JSON.parse(data.toString()) as number[];
      const slow = await fetch(`http://127.0.0.1:${http}/slow`);
      for (const port of [http, door]) {
        sockets.push(...(await flood(port)));
        const dropped = sockets.filter((socket) => socket.destroyed || socket.readableEnded).length;
        expect(dropped, 'connections that found no descriptor').to.be.greaterThan(0);
        for (const socket of sockets.splice(0)) socket.destroy();
        await untilAnswers(http);
      }
      child.kill('SIGUSR2');
      expect(await slow.text()).to.equal('begin end');
      expect(child.exitCode).to.equal(null);
    } finally {
      for (const socket of sockets) socket.destroy();
      child.kill('SIGKILL');
      await once(child, 'close');
    }
  });
});

/** Opens connections that say nothing, and waits until each is open or was closed. */
async function flood(port: number): Promise<Socket[]> {
  const sockets = Array.from({ length: CONNECTIONS }, () => connect(port, '127.0.0.1'));
  for (const socket of sockets) socket.on('error', () => {}).resume();
  const dropped = new Promise<void>((resolve) => {
    for (const socket of sockets) socket.once('close', () => resolve());
  });
  await dropped;
  return sockets;
}

async function untilAnswers(port: number): Promise<void> {
  for (;;) {
    const text = await fetch(`http://127.0.0.1:${port}/`).then(
      (res) => res.text(),
      () => '',
    );
    if (text === 'ok') return;
  }
}
