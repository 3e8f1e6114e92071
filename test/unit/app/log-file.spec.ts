import { closeSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { LogFile } from '../../../src/app/log-file.js';

describe('LogFile', () => {
  it('puts full files aside, keeps five, and is readable by its owner only', () => {
    const dir = mkdtempSync(join(tmpdir(), 'log-'));
    const file = new LogFile(join(dir, 'hub.log'), 100);
    for (let n = 0; n < 100; n += 1) file.write(`${String(n).padStart(29, '0')}\n`);
    file.close();
    const names = readdirSync(dir).sort();
    expect(names).to.deep.equal(['hub.log', ...[1, 2, 3, 4, 5].map((n) => `hub.log.${n}`)]);
    expect(readFileSync(join(dir, 'hub.log'), 'utf8')).to.match(/0099\n$/);
    for (const name of names) expect(statSync(join(dir, name)).size).to.be.at.most(100);
    expect(statSync(join(dir, 'hub.log')).mode & 0o077).to.equal(0);
    rmSync(dir, { recursive: true });
  });

  it('never writes into another file when a new one cannot be made', () => {
    const dir = mkdtempSync(join(tmpdir(), 'log-'));
    const file = new LogFile(join(dir, 'hub.log'), 10);
    file.write('0123456789');
    rmSync(dir, { recursive: true });
    file.write('this begins a new file');
    const other = `${dir}.other`;
    const fd = openSync(other, 'w');
    file.write('not for others');
    file.close();
    closeSync(fd);
    expect(readFileSync(other, 'utf8')).to.equal('');
    rmSync(other);
  });
});
