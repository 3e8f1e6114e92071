import { expect } from 'chai';
import { HubError } from '../../../src/model/hub-error.js';
import {
  checkLimits,
  DEFAULT_RESOURCES,
  formatSize,
  parseResources,
  parseSize,
} from '../../../src/vm/resources.js';

const MIB = 1024 ** 2;
const GIB = 1024 ** 3;

describe('resources', () => {
  const sizes: readonly (readonly [string, number | undefined])[] = [
    ['4G', 4 * GIB],
    ['4g', 4 * GIB],
    ['4GB', 4 * GIB],
    ['512MiB', 512 * MIB],
    ['512M', 512 * MIB],
    ['2048K', 2 * MIB],
    ['1T', 1024 * GIB],
    ['1.5G', 1.5 * GIB],
    [' 8 G ', 8 * GIB],
    ['1073741824', GIB],
    ['4', undefined],
    ['0G', undefined],
    ['-4G', undefined],
    ['4X', undefined],
    ['G', undefined],
    ['four', undefined],
    ['4G; rm -rf /', undefined],
    ['1e9', undefined],
    ['9999999999999999T', undefined],
  ];
  for (const [text, bytes] of sizes) {
    it(`reads ${JSON.stringify(text)} as ${bytes ?? 'no size'}`, () => {
      expect(parseSize(text)).to.equal(bytes);
    });
  }

  it('fills in the defaults for what is absent, 0 or empty', () => {
    expect(parseResources({})).to.deep.equal(DEFAULT_RESOURCES);
    expect(parseResources({ cpu: 0, memory: '', disk: '' })).to.deep.equal(DEFAULT_RESOURCES);
    expect(DEFAULT_RESOURCES).to.deep.equal({ cpu: 2, memoryBytes: 4 * GIB, diskBytes: 20 * GIB });
  });

  it('takes what was asked for', () => {
    const asked = parseResources({ cpu: 4, memory: '8G', disk: '40G' });
    expect(asked).to.deep.equal({ cpu: 4, memoryBytes: 8 * GIB, diskBytes: 40 * GIB });
  });

  it('names every bad field, with an example', () => {
    const err = caught(() => parseResources({ cpu: 1.5, memory: 'much', disk: '1' }));
    expect(err.reason).to.equal('INVALID_FIELD');
    expect(err.fields.map((item) => item.field)).to.deep.equal(['cpu', 'memory', 'disk']);
    expect(err.message).to.contain('"4G"').and.to.contain('"20G"').and.to.contain('1 to 256');
    for (const cpu of [-1, 257, 0.5]) {
      expect(caught(() => parseResources({ cpu })).fields).to.have.length(1);
    }
  });

  it('refuses more than the host has, with the numbers, where the limit is enforced', () => {
    const host = { cpu: 2, memoryBytes: 4 * GIB, diskBytes: 30 * GIB };
    const asked = { cpu: 4, memoryBytes: 8 * GIB, diskBytes: 30 * GIB };
    const err = caught(() => checkLimits(asked, host, ['cpu', 'memory', 'disk']));
    expect(err.reason).to.equal('RESOURCES_EXCEEDED');
    expect(err.message).to.equal(
      'cpu 4 is more than the 2 of this host; memory 8G is more than the 4G of this host',
    );
    checkLimits(asked, host, ['disk']);
    checkLimits(asked, host, []);
  });

  it('writes sizes for people', () => {
    expect([4 * GIB, 1.5 * GIB, 512 * MIB].map(formatSize)).to.deep.equal(['4G', '1.5G', '512M']);
  });
});

function caught(work: () => unknown): HubError {
  try {
    work();
  } catch (err) {
    return HubError.from(err);
  }
  throw new Error('nothing was thrown');
}
