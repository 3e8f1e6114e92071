import { chmod, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { CallerRule } from '../../../src/security/caller-rule.js';
import { Connection } from '../../../src/security/connection.js';
import { findUid, socketUids } from '../../../src/security/peer-uid.js';
import { bearerToken } from '../../../src/security/secret.js';
import { ensureTokenFile, readTokenFile } from '../../../src/security/token-file.js';

const TOKEN = 'c'.repeat(64);
const LOOPBACK = {
  localAddress: '127.0.0.1',
  localPort: 9090,
  remoteAddress: '127.0.0.1',
  remotePort: 40000,
};
const HEAD =
  '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode';

function row(parts: { from?: string; to?: string; state?: string; uid?: number; inode?: number }): string {
  const { from = '0100007F:9C40', to = '0100007F:2382', state = '01', uid = 1000, inode = 77 } = parts;
  return `   1: ${from} ${to} ${state} 00000000:00000000 00:00000000 00000000  ${uid}        0 ${inode} 1 0`;
}

describe('findUid', () => {
  const cases: readonly [string, string, number | undefined][] = [
    ['the socket at the other end', row({}), 1000],
    ['root', row({ uid: 0 }), 0],
    ['only our own end', row({ from: '0100007F:2382', to: '0100007F:9C40' }), undefined],
    ['the same ports between other addresses', row({ from: '0200007F:9C40' }), undefined],
    ['a socket that its owner closed', row({ uid: 0, inode: 0, state: '04' }), undefined],
    ['a socket that nobody holds', row({ uid: 0, inode: 0 }), undefined],
    ['two users at once', `${row({})}\n${row({ uid: 0 })}`, undefined],
    ['a mapped IPv4 address', row({ from: `0000000000000000FFFF00000100007F:9C40` }), 1000],
    ['nothing', '', undefined],
  ];
  for (const [name, table, expected] of cases)
    it(`answers ${expected} for ${name}`, () => {
      expect(findUid(socketUids([`${HEAD}\n${table}\n`]), LOOPBACK)).to.equal(expected);
    });
});

describe('CallerRule', () => {
  const rule = new CallerRule({ adminToken: TOKEN, ownUid: 1000 });
  const connection = (uid: number | undefined, remoteAddress = '127.0.0.1') =>
    new Connection({ ...LOOPBACK, remoteAddress }, async () => uid);

  const local: readonly [string, Connection | undefined, boolean][] = [
    ['the same user', connection(1000), true],
    ['the same user over IPv6', connection(1000, '::1'), true],
    ['root', connection(0), true],
    ['another user', connection(1001), false],
    ['a user that cannot be told', connection(undefined), false],
    ['another machine', connection(1000, '10.0.0.7'), false],
    ['a unix socket', new Connection(undefined, async () => 1000), false],
    ['a connection that is gone', undefined, false],
  ];
  for (const [name, facts, allowed] of local)
    it(`${allowed ? 'lets in' : 'refuses'} without a token: ${name}`, async () => {
      const asked = rule.authorize({ authorization: undefined, connection: facts });
      const answer = await asked.catch((err) => err.reason);
      expect(answer).to.deep.equal(
        allowed ? { name: 'local-operator', role: 'operator' } : 'NOT_AUTHENTICATED',
      );
    });

  it('knows the admin token from anywhere, and no other', async () => {
    const by = (authorization: string) =>
      rule.authorize({ authorization, connection: connection(1000) }).catch((err) => err.reason);
    expect(await by(`Bearer ${TOKEN}`)).to.deep.equal({ name: 'admin', role: 'admin' });
    for (const wrong of ['', 'Bearer', `Bearer ${TOKEN}x`, `Basic ${TOKEN}`, TOKEN])
      expect(await by(wrong), wrong).to.equal('NOT_AUTHENTICATED');
  });

  it('looks a user up once a connection', async () => {
    let lookups = 0;
    const facts = new Connection(LOOPBACK, async () => {
      lookups++;
      return 1000;
    });
    for (let i = 0; i < 3; i++) await rule.authorize({ authorization: undefined, connection: facts });
    expect(lookups).to.equal(1);
  });
});

describe('bearerToken', () => {
  it('tells no token from a malformed one', () => {
    expect(bearerToken(undefined)).to.equal(undefined);
    expect(bearerToken('Basic x')).to.equal('');
    expect(bearerToken('bearer  x')).to.equal('x');
  });
});

describe('token file', () => {
  let dir: string;
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'token-'));
  });
  afterEach(() => rm(dir, { recursive: true }));

  it('is made once, for its user only', async () => {
    const path = join(dir, 'home', 'token');
    const token = await ensureTokenFile(path);
    expect(token).to.match(/^[0-9a-f]{64}$/);
    expect((await stat(path)).mode & 0o777).to.equal(0o600);
    expect(await ensureTokenFile(path)).to.equal(token);
    expect(await readTokenFile(path)).to.equal(token);
  });

  it('is replaced when others could read it, or it holds no token', async () => {
    const path = join(dir, 'token');
    await writeFile(path, `${TOKEN}\n`);
    await chmod(path, 0o644);
    const replaced = await ensureTokenFile(path);
    expect(replaced).to.not.equal(TOKEN);
    await writeFile(path, 'cut o');
    const again = await ensureTokenFile(path);
    expect(again).to.not.equal(replaced);
    expect((await readFile(path, 'utf8')).trim()).to.equal(again);
    expect((await stat(path)).mode & 0o777).to.equal(0o600);
  });

  it('reads as none when it is missing', async () => {
    expect(await readTokenFile(join(dir, 'none'))).to.equal(undefined);
  });
});
