import { expect } from 'chai';
import { codeBlocks, edited } from '../support/seed-document.js';
import { readSeed } from '../support/seed-runner.js';

const MARKDOWN = [
  '# One',
  '```bash',
  'ls',
  '```',
  '## Two',
  '```json',
  '{',
  '}',
  '```',
  '```',
  'x',
  '```',
].join('\n');

describe('the code of a document', () => {
  it('is found with its heading and language', () => {
    expect(codeBlocks(MARKDOWN)).to.deep.equal([
      { number: 1, heading: 'One', language: 'bash', code: 'ls' },
      { number: 2, heading: 'Two', language: 'json', code: '{\n}' },
      { number: 3, heading: 'Two', language: '', code: 'x' },
    ]);
  });

  it('is changed by written edits only', () => {
    const edits = [{ block: 1, find: 'ls', replace: 'pwd', why: '' }];
    expect(edited(codeBlocks(MARKDOWN), edits).map(({ code }) => code)).to.deep.equal(['pwd', '{\n}', 'x']);
  });

  it('refuses an edit that finds nothing', () => {
    const edits = [{ block: 2, find: 'ls', replace: '', why: '' }];
    expect(() => edited(codeBlocks(MARKDOWN), edits)).to.throw(/block 2 does not hold "ls"/);
  });

  it('of the seed document is complete, and its JSON is JSON', async () => {
    const { blocks } = await readSeed();
    expect(blocks).to.have.length(28);
    for (const { language, code } of blocks) {
      if (language === 'json') expect(() => JSON.parse(code)).not.to.throw();
    }
  });
});
