import { expect } from 'chai';
import { fatDisk } from '../../../../src/vm/images/fat-disk.js';
import { nocloudSeed } from '../../../../src/vm/images/nocloud-seed.js';
import { readFat } from '../../../support/read-fat.js';

const OPTIONS = { hostname: 'dev', instanceId: 'i-1', macAddress: '52:54:00:12:34:56' };

describe('fatDisk', () => {
  it('holds its files under their long names', () => {
    const files = [
      { name: 'empty', data: Buffer.alloc(0) },
      { name: 'user-data', data: Buffer.from('x'.repeat(512)) },
      { name: 'exactly-13-ch', data: Buffer.from('13') },
      { name: 'a-name-of-more-than-two-pieces', data: Buffer.from('y'.repeat(100_000)) },
      { name: 'last', data: Buffer.from('z'.repeat(513)) },
    ];
    const { label, found } = readFat(fatDisk('CIDATA', files));
    expect(label).equal('CIDATA');
    expect([...found]).deep.equal(files.map(({ name, data }) => [name, data.toString()]));
  });

  it('refuses what does not fit', () => {
    expect(() => fatDisk('X', [{ name: 'big', data: Buffer.alloc(600_000) }])).throw('big is too large');
  });
});

describe('nocloudSeed', () => {
  it('tells cloud-init who the machine is, by which card it is connected, and how its agent starts', () => {
    const { label, found } = readFat(nocloudSeed(OPTIONS));
    expect(label).equal('CIDATA');
    expect(JSON.parse(found.get('meta-data') ?? '')).deep.equal({
      'instance-id': 'i-1',
      'local-hostname': 'dev',
    });
    const network = JSON.parse(found.get('network-config') ?? '');
    expect(network).property('version', 1);
    expect(network.config[0]).include({ name: 'eth0', mac_address: OPTIONS.macAddress });
    const userData = found.get('user-data') ?? '';
    expect(userData).match(/^#cloud-config\n/);
    const { bootcmd } = JSON.parse(userData.slice(userData.indexOf('\n')));
    expect(bootcmd[0].slice(0, 2)).deep.equal(['sh', '-c']);
    expect(bootcmd[0][2]).contain('vma-runtime').contain('boot/cloud.sh');
  });

  it('refuses what could be more than a name', () => {
    for (const bad of [{ hostname: 'a b' }, { instanceId: '' }, { macAddress: '52:54:00:12:34:56\n' }]) {
      expect(() => nocloudSeed({ ...OPTIONS, ...bad })).throw(/plain name/);
    }
  });
});
