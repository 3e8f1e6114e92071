import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { type AddressInfo, connect, createServer, type Server } from 'node:net';
import { networkInterfaces } from 'node:os';
import { expect } from 'chai';
import type { HubProcess } from '../support/e2e/hub-process.js';
import { at, list } from '../support/e2e/json-path.js';
import { BEFORE_MS, BOOT_MS, post, putFile, SMALL, startMachineHub } from '../support/e2e/machine-hub.js';

const PROBE = new URL('../support/e2e/guest-probe.mjs', import.meta.url);
const DOOR = '10.0.2.100:9090';
/** What a guest sees around it: gateway, name server, door, and those between it and the host. */
const AROUND = [
  '10.0.2.2',
  '10.0.2.3',
  '10.0.2.100',
  '10.0.2.16',
  '198.18.255.2',
  '198.18.255.3',
  '198.18.255.100',
];
const METADATA = '169.254.169.254';
const USUAL_PORTS = [9090, 9091, 9092];
/** Where a server in each guest listens. */
const GUEST_PORT = 7777;
const UNIMPLEMENTED = '12';
const UNAUTHENTICATED = '16';

const HUB_METHODS = ['ListAgents', 'CreateTask', 'RegisterAgent', 'GetHealth'].map(
  (name) => `/vmagent.v1.Hub/${name}`,
);
const REFLECTION = '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo';
const UNKNOWN = [
  ...HUB_METHODS,
  '/vmagent.v1.VmManager/ListVms',
  '/vmagent.v1.VmManager/DestroyVm',
  REFLECTION,
];
const CONNECT = '/vmagent.v1.Agent/Connect';

/** What guest-probe.mjs prints. */
interface Findings {
  readonly uid: number;
  readonly control: Readonly<Record<string, string>>;
  readonly found: Readonly<Record<string, string>>;
  readonly calls: Readonly<Record<string, string>>;
  readonly packages: { readonly url: string; readonly dns: string; readonly answer: string };
  readonly loopback: Readonly<Record<string, string>>;
}

describe('from inside of a virtual machine, as root', function () {
  this.timeout(BOOT_MS);
  let hub: HubProcess;
  let ports: readonly number[];
  const servers: Server[] = [];

  before(async function () {
    this.timeout(BEFORE_MS);
    const started = await startMachineHub();
    if (started === undefined) this.skip();
    hub = started;
    ports = [...(await listenEverywhere()), hub.grpcPort, hub.httpPort, hub.dashboardPort, GUEST_PORT];
    const { stdout } = await hub.ok(['providers', '--json']);
    const qemu = list({ rows: JSON.parse(stdout) }, 'rows').find((row) => at(row, 'name') === 'qemu');
    const open = list(qemu, 'networks').includes('internet');
    if (!open) console.log('SKIPPED: doors from the network "internet", which machines have not got here');
    await Promise.all([guest('open', open ? 'internet' : 'isolated'), guest('closed', 'isolated')]);
  });
  after(async () => {
    for (const server of servers) server.close();
    await hub?.close();
  });

  async function guest(name: string, network: string): Promise<void> {
    await hub.ok(['create', name, ...SMALL, '--network', network], { timeoutMs: BOOT_MS });
    await putFile(hub, name, '/opt/probe.mjs', await readFile(PROBE));
    await post(hub, name, {
      type: 'exec',
      command: `exec node -e 'net.createServer().listen(${GUEST_PORT})'`,
    });
  }

  /** Servers of this computer: on its loopback, on all its addresses, and on the usual ports where those are free. */
  async function listenEverywhere(): Promise<readonly number[]> {
    const listen = async (port: number, host: string): Promise<number> => {
      const server = createServer((peer) => peer.on('error', () => undefined).end()).listen(port, host);
      const listening = await once(server, 'listening').then(
        () => true,
        () => false,
      );
      if (!listening) return port;
      servers.push(server);
      return (server.address() as AddressInfo).port;
    };
    const all = hostAddresses().some((address) => address.includes(':')) ? '::' : '0.0.0.0';
    return [
      await listen(0, '127.0.0.1'),
      await listen(0, all),
      ...(await Promise.all(USUAL_PORTS.map((port) => listen(port, all)))),
    ];
  }

  const hostAddresses = () =>
    Object.values(networkInterfaces())
      .flatMap((rows) => rows ?? [])
      .filter(({ internal, scopeid }) => !internal && !scopeid)
      .map(({ address }) => address);

  async function probe(name: string): Promise<Findings> {
    const request = {
      addresses: [...AROUND, METADATA, ...hostAddresses()],
      ports,
      own: GUEST_PORT,
      door: DOOR,
      methods: [...UNKNOWN, CONNECT],
      headers: { authorization: `Bearer ${await hub.token()}`, 'x-agent-id': 'somebody' },
    };
    const { stdout } = await hub.ok(
      ['exec', '--sudo', name, '--', 'node', '/opt/probe.mjs', JSON.stringify(request)],
      { timeoutMs: BOOT_MS },
    );
    return JSON.parse(stdout) as Findings;
  }

  it('the servers of this computer that are to be closed do answer this computer', async () => {
    expect(hostAddresses()).to.not.have.length(0);
    const reach = async (port: number, host: string) => {
      const socket = connect(port, host);
      await once(socket, 'connect');
      socket.destroy();
    };
    const [mine, everywhere = 0] = servers.map((server) => (server.address() as AddressInfo).port);
    for (const port of [mine, hub.grpcPort, hub.httpPort, hub.dashboardPort])
      await reach(port ?? 0, '127.0.0.1');
    for (const host of hostAddresses()) await reach(everywhere, host);
  });

  for (const name of ['open', 'closed']) {
    const network = name === 'open' ? 'internet' : 'isolated';
    it(`${network}: nothing but the agent door is open, and that has the service Agent alone`, async () => {
      const { uid, control, found, calls, packages, loopback } = await probe(name);
      expect(uid).to.equal(0);
      expect(Object.values(control), 'a server of its own, and the door').to.deep.equal(['open', 'open']);
      const open = Object.entries(found).filter(([, word]) => word === 'open');
      expect(Object.keys(found)).to.have.length((AROUND.length + 1 + hostAddresses().length) * ports.length);
      expect(
        open.map(([target]) => target).filter((target) => target !== DOOR.replace(':', ' ')),
      ).to.deep.equal([]);
      expect(Object.values(loopback), 'by a loopback that leads out').to.have.length(ports.length);
      expect(Object.values(loopback)).to.not.include('open');
      for (const method of UNKNOWN) expect(calls[method], method).to.equal(UNIMPLEMENTED);
      expect(calls[CONNECT]).to.equal(UNAUTHENTICATED);
      await checkPackages(name, packages);
    });
  }

  /** Names and packages are there with a network, and not without. */
  async function checkPackages(name: string, { url, dns, answer }: Findings['packages']): Promise<void> {
    const { network } = (await hub.rest('GET', `/agents/${name}/vm`)).at('vm') as { network: string };
    if (network === 'isolated') {
      expect([dns, answer]).to.not.include('open');
      return;
    }
    const signal = AbortSignal.timeout(20_000);
    const answers = await fetch(url, { method: 'HEAD', signal }).catch(() => undefined);
    if (answers === undefined) {
      console.log('SKIPPED: packages by the network "internet": they do not answer this computer either');
      return;
    }
    expect([dns, answer]).to.deep.equal(['open', 'open']);
  }
});
