import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { Database } from '../../../src/store/sqlite/database.js';
import { checkVersion, MIGRATIONS } from '../../../src/store/sqlite/schema.js';
import { SmallDisk } from '../../support/small-disk.js';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));

describe('the start of a hub on what it finds on its disk', function () {
  this.timeout(60_000);
  let dir: string;

  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'start-'));
  });

  afterEach(() => rmSync(dir, { recursive: true, force: true }));

  const program = (source: string) =>
    spawn(process.execPath, ['--import', 'tsx', '-e', source], { cwd: ROOT });
  const startHub = async (home: string) => {
    const sources = {
      flags: { home, grpc: '127.0.0.1:0', http: '127.0.0.1:0', dashboard: '127.0.0.1:0' },
      env: {},
    };
    const child = program(`import('./src/app/hub-main.ts').then(async ({ runHub }) => {
      process.exit(await runHub(${JSON.stringify(sources)}));
    })`);
    let stderr = '';
    child.stderr.on('data', (data: Buffer) => {
      stderr += data;
    });
    const [code] = await once(child, 'close');
    return { code, stderr };
  };

  it('says which home cannot be written, and ends with 74 (fault case 122)', async function () {
    if (!SmallDisk.possible) this.skip();
    using disk = new SmallDisk(1);
    mkdirSync(join(disk.dir, 'old', 'data'), { recursive: true });
    disk.setReadOnly(true);
    for (const home of ['new', 'old']) {
      const { code, stderr } = await startHub(join(disk.dir, home));
      expect(stderr).to.match(/^error: the home .*(new|old) cannot be used: .*it must be writable/m);
      expect(code).to.equal(74);
    }
  });

  it('refuses a newer schema with 65, naming both versions (fault case 127)', async () => {
    const home = join(dir, 'home');
    const path = join(home, 'data', 'hub.db');
    mkdirSync(join(home, 'data'), { recursive: true });
    const db = await Database.open(path);
    db.exec(`PRAGMA user_version = ${MIGRATIONS.length + 3}`);
    db.close();
    const { code, stderr } = await startHub(home);
    expect(stderr)
      .to.include(`schema ${MIGRATIONS.length + 3}`)
      .and.include(`up to ${MIGRATIONS.length}`);
    expect(code).to.equal(65);
  });

  it('has the old schema or the new one when it is killed in a migration, and a backup (fault case 127)', async () => {
    const rows = 20_000;
    const old = ['CREATE TABLE t (n INTEGER PRIMARY KEY, text TEXT)'];
    const steps = [...old, `ALTER TABLE t ADD COLUMN more TEXT; UPDATE t SET more = text || text`];
    for (let round = 0; round < 6; round += 1) {
      const path = join(dir, `${round}.db`);
      const db = await Database.open(path);
      db.exec(`${old[0]}; PRAGMA user_version = 1; BEGIN`);
      for (let n = 0; n < rows; n += 1) db.run('INSERT INTO t VALUES (?, ?)', n, `text ${n}`);
      db.exec('COMMIT');
      db.close();
      const child = program(`(async () => {
        const { Database } = await import('./src/store/sqlite/database.ts');
        const { migrateWithBackup } = await import('./src/store/sqlite/schema-backup.ts');
        const db = await Database.open(${JSON.stringify(path)});
        process.stdout.write('begin');
        await migrateWithBackup(db, ${JSON.stringify(path)}, { info() {} }, ${JSON.stringify(steps)});
      })()`);
      await once(child.stdout, 'data');
      setTimeout(() => child.kill('SIGKILL'), round * 12);
      await once(child, 'close');
      const after = await Database.open(path);
      const version = checkVersion(after, steps);
      const columns = after.all<{ name: string }>("SELECT name FROM pragma_table_info('t')").length;
      expect(columns).to.equal(version === 2 ? 3 : 2);
      const filled = version === 2 ? 'WHERE more = text || text' : '';
      expect(after.get(`SELECT count(*) AS n FROM t ${filled}`)).to.deep.include({ n: rows });
      after.close();
      const backup = `${path}.schema-1.backup`;
      if (version === 2) expect(existsSync(backup)).to.equal(true);
      if (!existsSync(backup)) continue;
      const kept = await Database.open(backup);
      expect(checkVersion(kept, old)).to.equal(1);
      expect(kept.get('SELECT count(*) AS n FROM t')).to.deep.include({ n: rows });
      kept.close();
    }
  });
});
