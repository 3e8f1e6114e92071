import {
  copyFileSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { Journal } from '../../../src/agent/journal.js';
import { readRecords } from '../../../src/agent/record-frame.js';
import { systemClock } from '../../../src/base/clock.js';
import { silentLogger } from '../../../src/base/logger.js';
import { emptyOutcome } from '../../../src/model/task.js';

describe('Journal', () => {
  let dir: string;
  let path: string;

  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'journal-'));
    path = join(dir, 'journal');
  });
  afterEach(() => rmSync(dir, { recursive: true, force: true }));

  const open = (vmGeneration = 1, file = path) =>
    Journal.open({ path: file, vmGeneration, clock: systemClock, log: silentLogger });

  const recordBytes = () => readRecords(readFileSync(path)).validBytes;

  function flip(at: number): void {
    const bytes = readFileSync(path);
    bytes.writeUInt8(bytes.readUInt8(at) ^ (1 << (at % 8)), at);
    writeFileSync(path, bytes);
  }

  async function runOne(journal: Journal, task: string): Promise<void> {
    await journal.record({ task, attempt: 1, state: 'RUNNING', startMs: 1 });
    await journal.record({ task, attempt: 1, state: 'SUCCEEDED', endMs: 2, outcome: emptyOutcome('EXITED') });
  }

  it('knows after a restart what was recorded before', async () => {
    const first = await open();
    await runOne(first, 'a');
    await first.record({ task: 'b', attempt: 2, state: 'RUNNING', startMs: 3 });
    await first.close();
    const second = await open();
    expect(second.id).to.equal(first.id);
    expect(second.sequence).to.equal(3);
    expect(second.get({ task: 'a', attempt: 1 })?.ended?.outcome?.reason).to.equal('EXITED');
    expect(second.get({ task: 'b', attempt: 2 })).to.have.property('started');
    expect(second.get({ task: 'b', attempt: 2 })).not.to.have.property('ended');
    await second.close();
  });

  it('survives a tail torn at every byte, and goes on behind it (fault case 125)', async () => {
    const first = await open();
    await first.record({ task: 'a', attempt: 1, state: 'RUNNING', startMs: 1 });
    const whole = recordBytes();
    await first.record({ task: 'b', attempt: 1, state: 'RUNNING', startMs: 2 });
    await first.close();
    const end = recordBytes();
    for (let cut = whole; cut < end; cut += 1) {
      const copy = join(dir, 'cut');
      copyFileSync(path, copy);
      truncateSync(copy, cut);
      const torn = await open(1, copy);
      expect(torn.all().map(({ started }) => started?.task)).to.deep.equal(['a']);
      await torn.record({ task: 'c', attempt: 1, state: 'RUNNING', startMs: 3 });
      await torn.close();
      const again = await open(1, copy);
      expect(again.all().map(({ started }) => started?.task)).to.deep.equal(['a', 'c']);
      await again.close();
    }
  });

  it('stops at a record whose bytes were changed', async () => {
    const first = await open();
    await runOne(first, 'a');
    await first.close();
    flip(recordBytes() - 3);
    const second = await open();
    expect(second.get({ task: 'a', attempt: 1 })).not.to.have.property('ended');
    await second.close();
  });

  it('goes on as another journal, with all that can be read, when a bit in its middle is flipped (fault case 124)', async () => {
    const first = await open();
    await runOne(first, 'a');
    const begin = recordBytes();
    await first.record({ task: 'b', attempt: 1, state: 'RUNNING', startMs: 3 });
    const end = recordBytes();
    await runOne(first, 'c');
    await first.close();
    const whole = readFileSync(path);
    for (let at = begin; at < end; at += 1) {
      writeFileSync(path, whole);
      flip(at);
      const second = await open();
      expect(second.id, `flip at ${at}`).not.to.equal(first.id);
      expect(second.former).to.deep.equal([first.id]);
      expect(second.all().map(({ ended }) => ended?.task)).to.deep.equal(['a', 'c']);
      await second.close();
      const third = await open();
      expect(third.id).to.equal(second.id);
      expect(third.all()).to.deep.equal(second.all());
      await third.close();
    }
    expect(readdirSync(dir).some((name) => name.startsWith('journal.damaged-'))).to.equal(true);
  });

  it('forgets what is acknowledged to its end, and keeps what is not', async () => {
    const journal = await open();
    await runOne(journal, 'a');
    await runOne(journal, 'b');
    expect(journal.acked(3).map(({ task }) => task)).to.deep.equal(['a']);
    expect(journal.get({ task: 'a', attempt: 1 })).to.equal(undefined);
    expect(journal.get({ task: 'b', attempt: 1 })?.started?.sequence).to.equal(3);
    await journal.close();
  });

  it('does not remember a forgotten attempt after a restart', async () => {
    const first = await open();
    await runOne(first, 'a');
    await first.forget({ task: 'a', attempt: 1 });
    await first.close();
    const second = await open();
    expect(second.all()).to.deep.equal([]);
    expect(second.sequence).to.equal(2);
    await second.close();
  });

  it('shrinks when most of it is acknowledged, and keeps its sequence', async () => {
    const first = await open();
    await Promise.all(Array.from({ length: 600 }, (_, index) => runOne(first, `t${index}`)));
    await first.record({ task: 'last', attempt: 1, state: 'RUNNING', startMs: 1 });
    const before = recordBytes();
    first.acked(1200);
    await first.compact();
    expect(recordBytes()).to.be.lessThan(before / 100);
    await first.record({ task: 'more', attempt: 1, state: 'RUNNING', startMs: 1 });
    await first.close();
    const second = await open();
    expect(second.sequence).to.equal(1202);
    expect(second.all().map(({ started }) => started?.task)).to.deep.equal(['last', 'more']);
    await second.close();
  });

  it('begins anew on a machine of another generation', async () => {
    const first = await open(1);
    await runOne(first, 'a');
    await first.close();
    const second = await open(2);
    expect(second.id).not.to.equal(first.id);
    expect(second.all()).to.deep.equal([]);
    await second.close();
  });
});
