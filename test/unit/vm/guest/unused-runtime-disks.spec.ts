import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { removeUnusedDisks } from '../../../../src/vm/guest/unused-runtime-disks.js';

describe('removeUnusedDisks', () => {
  const id = (digit: string) => `sha256-${digit.repeat(64)}`;
  let dir: string;
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'runtimes-'));
    for (const digit of ['a', 'b', 'c']) {
      mkdirSync(join(dir, id(digit)));
      writeFileSync(join(dir, id(digit), 'agent.ext4'), digit);
      writeFileSync(join(dir, `inputs-${digit}`), id(digit));
    }
    mkdirSync(join(dir, '.partial-1'));
  });
  afterEach(() => rmSync(dir, { recursive: true }));

  it('keeps what is in use, and what is being made', async () => {
    const path = (digit: string) => join(dir, id(digit), 'agent.ext4');
    await removeUnusedDisks(dir, new Set([path('a'), path('c'), '/elsewhere/agent.ext4']));
    const left = ['.partial-1', 'inputs-a', 'inputs-c', id('a'), id('c')];
    expect(readdirSync(dir).sort()).to.deep.equal(left.sort());
  });
});
