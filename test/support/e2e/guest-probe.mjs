// Runs inside of a virtual machine, as root, and says what it can reach. Its argument is JSON:
// { addresses, ports, own, door, methods, headers }. Prints findings as JSON, see test/e2e/closed-doors.spec.ts.
import { execFileSync } from 'node:child_process';
import { lookup } from 'node:dns/promises';
import { readdirSync, readFileSync } from 'node:fs';
import { connect as connectHttp2 } from 'node:http2';
import { connect } from 'node:net';

const LIMIT_MS = 6_000;
const { addresses, ports, own, door, methods, headers } = JSON.parse(process.argv[2] ?? '{}');

/** `open`, or why not. */
function reach(host, port) {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: LIMIT_MS });
    const end = (word) => {
      socket.destroy();
      resolve(word);
    };
    socket.once('connect', () => end('open'));
    socket.once('timeout', () => end('silent'));
    socket.once('error', (err) => end(err.code ?? err.message));
  });
}

async function reachAll(targets) {
  const rows = targets.map(async ([host, port]) => [`${host} ${port}`, await reach(host, port)]);
  return Object.fromEntries(await Promise.all(rows));
}

/** Status of a gRPC call with an empty message. */
function call(path) {
  return new Promise((resolve) => {
    const session = connectHttp2(`http://${door}`);
    const timer = setTimeout(() => session.destroy(new Error('silent')), LIMIT_MS * 3);
    const end = (word) => {
      clearTimeout(timer);
      resolve(word);
      session.destroy();
    };
    session.on('error', (err) => end(err.message));
    const request = { ':method': 'POST', ':path': path, 'content-type': 'application/grpc', te: 'trailers' };
    const stream = session.request({ ...request, ...headers });
    const status = (found) => found['grpc-status'] !== undefined && end(found['grpc-status']);
    stream.on('response', status).on('trailers', status);
    stream.on('error', (err) => end(err.message)).on('close', () => end('closed'));
    stream.resume().end(Buffer.alloc(5));
  });
}

/** Root may lead its loopback out of the guest; then these are addresses of whoever carries its packets. */
async function reachByLoopback() {
  const run = (line) => execFileSync('sh', ['-c', line], { stdio: ['ignore', 'ignore', 'inherit'] });
  run('echo 1 > /proc/sys/net/ipv4/conf/all/route_localnet && ip addr del 127.0.0.1/8 dev lo');
  try {
    run('ip route add 127.0.0.1/32 via 10.0.2.2 dev eth0 src 10.0.2.15');
    return await reachAll(ports.map((port) => ['127.0.0.1', port]));
  } finally {
    run('ip route del 127.0.0.1/32 via 10.0.2.2 || true; ip addr add 127.0.0.1/8 dev lo');
  }
}

/** Whether the packages of this machine can be fetched. */
async function mirror() {
  const dir = '/etc/apt/sources.list.d';
  const files = [...readdirSync(dir).map((name) => `${dir}/${name}`), '/etc/apt/sources.list'];
  const text = files.map((file) => readFileSync(file, { encoding: 'utf8', flag: 'a+' })).join('\n');
  const [url = ''] = /https?:\/\/\S+/.exec(text) ?? [];
  const { hostname } = new URL(url);
  const dns = await lookup(hostname).then(
    () => 'open',
    (err) => err.code,
  );
  const answer = await fetch(url, { method: 'HEAD', signal: AbortSignal.timeout(LIMIT_MS * 5) }).then(
    () => 'open',
    (err) => String(err.cause?.code ?? err.name),
  );
  return { url, dns, answer };
}

const targets = addresses.flatMap((address) => ports.map((port) => [address, port]));
const control = await reachAll([['127.0.0.1', own], door.split(':')]);
const found = await reachAll(targets);
const calls = {};
for (const method of methods) calls[method] = await call(method);
const packages = await mirror();
const loopback = await reachByLoopback();
const uid = process.getuid();
console.log(JSON.stringify({ uid, control, found, calls, packages, loopback }));
