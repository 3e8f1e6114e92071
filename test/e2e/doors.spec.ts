import { chmod } from 'node:fs/promises';
import { type IncomingHttpHeaders, request } from 'node:http';
import { status } from '@grpc/grpc-js';
import { expect } from 'chai';
import { RegisterAgentRequest, RegisterAgentResponse } from '../../gen/vmagent/v1/hub_service.js';
import { runCommand } from '../support/e2e/command.js';
import { HubProcess } from '../support/e2e/hub-process.js';
import { rawCall } from '../support/e2e/raw-grpc.js';

const NOBODY = { uid: 65_534, gid: 65_534 };

describe('the doors', function () {
  this.timeout(60_000);
  let hub: HubProcess;
  let door: string;

  before(async () => {
    hub = await HubProcess.start();
    const registration = RegisterAgentRequest.encode(
      RegisterAgentRequest.fromPartial({ agentId: 'by-hand' }),
    );
    const answer = await rawCall(hub.grpcAddress, '/vmagent.v1.Hub/RegisterAgent', registration.finish());
    expect(answer.code, answer.message).to.equal(status.OK);
    door = RegisterAgentResponse.decode(answer.bytes).door;
  });
  after(() => hub?.close());

  describe('for agents', () => {
    for (const method of [
      'Hub/ListAgents',
      'Hub/CreateTask',
      'Hub/RegisterAgent',
      'Hub/DeleteAgent',
      'Hub/GetHealth',
      'VmManager/ListVms',
      'VmManager/StopVm',
    ]) {
      it(`has no ${method}, not even with the admin token`, async () => {
        const noHeaders: Record<string, string> = {};
        for (const headers of [noHeaders, { authorization: `Bearer ${await hub.token()}` }]) {
          const answer = await rawCall(door, `/vmagent.v1.${method}`, undefined, headers);
          expect(answer.code, answer.message).to.equal(status.UNIMPLEMENTED);
        }
      });
    }

    it('has no reflection', async () => {
      const method = '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo';
      expect((await rawCall(door, method)).code).to.equal(status.UNIMPLEMENTED);
    });

    it('refuses a stream without or with a wrong secret', async () => {
      for (const secret of [undefined, 'Bearer wrong', `Bearer ${'0'.repeat(64)}`]) {
        const headers = {
          'x-agent-id': 'by-hand',
          ...(secret === undefined ? {} : { authorization: secret }),
        };
        const answer = await rawCall(door, '/vmagent.v1.Agent/Connect', undefined, headers);
        expect(answer.code, answer.message).to.equal(status.UNAUTHENTICATED);
        expect(answer.reason).to.equal('NOT_AUTHENTICATED');
      }
    });
  });

  describe('for operators, without a token', () => {
    it('serve the same user', async () => {
      expect((await rawCall(hub.grpcAddress, '/vmagent.v1.Hub/ListAgents')).code).to.equal(status.OK);
      expect((await hub.rest('GET', '/agents')).status).to.equal(200);
    });

    it('refuse a wrong token, also from the same user', async () => {
      const wrong = { authorization: `Bearer ${'0'.repeat(64)}` };
      const answer = await rawCall(hub.grpcAddress, '/vmagent.v1.Hub/ListAgents', undefined, wrong);
      expect(answer.code).to.equal(status.UNAUTHENTICATED);
      expect((await hub.rest('GET', '/agents', undefined, wrong)).status).to.equal(401);
    });

    it('refuse another user of this computer, and serve that user with the token', async function () {
      if (process.getuid?.() !== 0) {
        console.log('SKIPPED: only root can call as another user');
        this.skip();
      }
      const token = `authorization: Bearer ${await hub.token()}`;
      expect(await grpcStatusAs(NOBODY, hub)).to.equal(status.UNAUTHENTICATED);
      expect(await grpcStatusAs(NOBODY, hub, token)).to.equal(status.OK);
      expect(await httpStatusAs(NOBODY, hub)).to.equal(401);
      expect(await httpStatusAs(NOBODY, hub, token)).to.equal(200);
    });

    it('keep the home to their user', async function () {
      if (process.getuid?.() !== 0) this.skip();
      await chmod(hub.home, 0o755);
      for (const file of ['token', 'data/hub.db', 'logs/hub-stderr.log']) {
        const read = await runCommand('cat', [`${hub.home}/${file}`], NOBODY);
        expect(read.exitCode, file).not.to.equal(0);
      }
    });
  });

  describe('for browsers', () => {
    const foreign: readonly (readonly [name: string, headers: Record<string, string>])[] = [
      ['a foreign Host', { host: 'evil.example' }],
      ['a foreign Origin', { origin: 'http://evil.example' }],
      ['a request from another site', { 'sec-fetch-site': 'cross-site' }],
      ['a form', { 'content-type': 'application/x-www-form-urlencoded' }],
      ['plain text', { 'content-type': 'text/plain' }],
      ['what came through a proxy', { 'x-forwarded-for': '10.0.0.1' }],
    ];
    for (const [name, headers] of foreign) {
      it(`refuse ${name}`, async () => {
        const before = await hub.rest('GET', '/agents/by-hand/tasks');
        const body = '{"type":"exec","command":"true"}';
        const answer = await send(hub, '/agents/by-hand/task', body, headers);
        expect(answer.status).to.be.within(400, 499);
        const after = await hub.rest('GET', '/agents/by-hand/tasks');
        expect(after.text).to.equal(before.text);
      });
    }
  });
});

/** Posts with exactly these headers over the default ones. */
function send(
  hub: HubProcess,
  path: string,
  body: string,
  headers: Readonly<Record<string, string>>,
): Promise<{ status: number; headers: IncomingHttpHeaders }> {
  return new Promise((resolve, reject) => {
    const options = {
      method: 'POST',
      agent: false,
      headers: { 'content-type': 'application/json', 'content-length': `${body.length}`, ...headers },
    };
    const req = request(hub.httpUrl + path, options, (res) => {
      res.resume();
      res.once('end', () => resolve({ status: res.statusCode ?? 0, headers: res.headers }));
    });
    req.once('error', reject);
    req.end(body);
  });
}

/** gRPC status of Hub.ListAgents, called by another user's curl: an empty message has five bytes of header. */
async function grpcStatusAs(user: typeof NOBODY, hub: HubProcess, header?: string): Promise<number> {
  const url = `http://${hub.grpcAddress}/vmagent.v1.Hub/ListAgents`;
  const line = `printf '\\000\\000\\000\\000\\000' | curl --silent --max-time 20 --http2-prior-knowledge \
    --verbose --output /dev/null --data-binary @- -H 'content-type: application/grpc' -H 'te: trailers' "$@" 2>&1`;
  const args = ['-c', line, 'curl', ...(header === undefined ? [] : ['-H', header]), url];
  const { stdout } = await runCommand('sh', args, { ...user, cwd: '/' });
  const found = /grpc-status: (\d+)/i.exec(stdout);
  if (found === null) throw new Error(`no gRPC status: ${stdout}`);
  return Number(found[1]);
}

async function httpStatusAs(user: typeof NOBODY, hub: HubProcess, header?: string): Promise<number> {
  const extra = header === undefined ? [] : ['-H', header];
  const options = ['--silent', '--max-time', '20', '--output', '/dev/null', '--write-out', '%{http_code}'];
  const { stdout } = await runCommand('curl', [...options, ...extra, `${hub.httpUrl}/agents`], {
    ...user,
    cwd: '/',
  });
  return Number(stdout);
}
