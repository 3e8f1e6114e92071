import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { HubError } from '../../../../src/model/hub-error.js';
import { Database } from '../../../../src/store/sqlite/database.js';
import { type BatchMember, GroupCommit } from '../../../../src/store/sqlite/group-commit.js';

/** Counts what it was told, and can be made to fail. */
class Counter implements BatchMember {
  value = 0;
  commits = 0;
  onFlush: () => void = () => {};
  private base = 0;

  mark(): number {
    return this.value - this.base;
  }
  rollbackTo(mark: number): void {
    this.value = this.base + mark;
  }
  flush(): void {
    this.onFlush();
  }
  committed(): void {
    this.base = this.value;
    this.commits++;
  }
}

describe('GroupCommit', () => {
  let dir: string;
  let db: Database;
  let counter: Counter;
  let commits: GroupCommit;

  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'group-commit-'));
    db = await Database.open(join(dir, 'hub.db'));
    db.exec('CREATE TABLE t (n INTEGER PRIMARY KEY, pad TEXT)');
    counter = new Counter();
    commits = new GroupCommit(db, [counter]);
  });

  afterEach(async () => {
    db.close();
    await rm(dir, { recursive: true });
  });

  const insert = (n: number) =>
    commits.write(() => {
      counter.value++;
      return db.run('INSERT INTO t (n) VALUES (?)', n);
    });
  const stored = () => db.all<{ n: number }>('SELECT n FROM t ORDER BY n').map(({ n }) => n);
  const statuses = async (calls: Promise<unknown>[]) =>
    (await Promise.allSettled(calls)).map(({ status }) => status);

  it('commits all calls of one turn together', async () => {
    await Promise.all([insert(1), insert(2), insert(3)]);
    expect(stored()).to.deep.equal([1, 2, 3]);
    expect(counter.commits).to.equal(1);
  });

  it('splits a long queue, so that the event loop goes on between', async () => {
    await Promise.all(Array.from({ length: 2500 }, (_, n) => insert(n)));
    expect(stored()).to.have.length(2500);
    expect(counter.commits).to.equal(3);
  });

  it('gathers calls of several turns under load, and of one turn only without', async () => {
    const turn = () => new Promise<void>((resolve) => setImmediate(resolve));
    let next = 1;
    const commitsOfTwoTurns = async (callsBefore: number) => {
      await Promise.all(Array.from({ length: callsBefore }, () => insert(next++)));
      const before = counter.commits;
      const first = insert(next++);
      await turn();
      await Promise.all([first, insert(next++)]);
      return counter.commits - before;
    };
    // Slow commits, so that there is time to gather in.
    counter.onFlush = () => {
      for (const end = performance.now() + 2; performance.now() < end; );
    };
    expect(await commitsOfTwoTurns(1)).to.equal(2);
    const under = [];
    // A computer that is busy itself may use up the time once.
    for (let n = 0; n < 10; n++) under.push(await commitsOfTwoTurns(8));
    expect(under).to.include(1);
  });

  it('undoes all of a call that fails after it wrote, and nothing else', async () => {
    const fails = commits.write(() => {
      counter.value += 100;
      db.run('INSERT INTO t (n) VALUES (10)');
      throw new HubError('AGENT_BUSY', 'no');
    });
    expect(await statuses([insert(1), fails, insert(2)])).to.deep.equal([
      'fulfilled',
      'rejected',
      'fulfilled',
    ]);
    expect(stored()).to.deep.equal([1, 2]);
    expect(counter.value).to.equal(2);
    expect(await fails.catch((err: unknown) => err)).to.have.property('reason', 'AGENT_BUSY');
  });

  it('hides errors of SQL and lets the other calls pass', async () => {
    const [, twice] = [insert(1), insert(1)];
    expect(await twice.catch((err: unknown) => err)).to.have.property('reason', 'INTERNAL');
    expect(stored()).to.deep.equal([1]);
    expect(counter.value).to.equal(1);
  });

  it('rejects all writers of a commit that fails, changes nothing and answers reads', async () => {
    await insert(1);
    counter.onFlush = () => {
      throw new Error('no');
    };
    const read = commits.read(() => stored());
    expect(await statuses([insert(2), insert(3)])).to.deep.equal(['rejected', 'rejected']);
    expect(await read).to.deep.equal([1]);
    expect(stored()).to.deep.equal([1]);
    expect(counter.value).to.equal(1);
    counter.onFlush = () => {};
    await insert(4);
    expect(stored()).to.deep.equal([1, 4]);
  });

  it('says DISK_FULL when the disk is full, and goes on when there is room again', async () => {
    const pages = db.get<{ page_count: number }>('PRAGMA page_count')?.page_count ?? 0;
    db.exec(`PRAGMA max_page_count = ${pages + 2}`);
    const big = (n: number) =>
      commits.write(() => db.run('INSERT INTO t (n, pad) VALUES (?, ?)', n, 'x'.repeat(100_000)));
    const calls = [insert(1), big(2)];
    for (const call of calls) {
      expect(await call.catch((err: unknown) => err)).to.have.property('reason', 'DISK_FULL');
    }
    expect(stored()).to.deep.equal([]);
    expect(counter.value).to.equal(0);
    db.exec('PRAGMA max_page_count = 1000000');
    await big(2);
    expect(stored()).to.deep.equal([2]);
  });

  it('refuses calls when too many wait, and after it was closed', async () => {
    const calls = Array.from({ length: 100_000 }, () => commits.read(() => 1));
    expect(await commits.read(() => 1).catch((err: unknown) => err)).to.have.property('reason', 'OVERLOADED');
    commits.close();
    expect(await Promise.all(calls)).to.have.length(100_000);
    expect(await commits.read(() => 1).catch((err: unknown) => err)).to.have.property(
      'reason',
      'ILLEGAL_STATE',
    );
  });

  it('keeps the file to its owner, durable on every commit', async () => {
    expect((await stat(join(dir, 'hub.db'))).mode & 0o777).to.equal(0o600);
    expect((await stat(join(dir, 'hub.db-wal'))).mode & 0o777).to.equal(0o600);
    expect(db.get('PRAGMA synchronous')).to.deep.include({ synchronous: 2 });
    expect(db.get('PRAGMA journal_mode')).to.deep.include({ journal_mode: 'wal' });
    expect(db.get('PRAGMA foreign_keys')).to.deep.include({ foreign_keys: 1 });
  });
});
