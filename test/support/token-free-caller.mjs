// Asks a hub for its stats as another user: node token-free-caller.mjs PORT UID. Prints the gRPC code.
import { createRequire } from 'node:module';

const { Client, credentials } = createRequire(import.meta.url)('@grpc/grpc-js');
const [, , port, uid] = process.argv;
const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure());
process.setgid(Number(uid));
process.setuid(Number(uid));
const identity = (bytes) => bytes;
const deadline = Date.now() + 10_000;
client.makeUnaryRequest(
  '/vmagent.v1.Hub/GetStats',
  identity,
  identity,
  Buffer.alloc(0),
  { deadline },
  (err) => {
    process.stdout.write(String(err?.code ?? 0));
    client.close();
  },
);
