import { expect } from 'chai';
import { type LaunchPlan, launchCommand } from '../../../../../src/vm/providers/qemu/launcher.js';

const PLAN: LaunchPlan = {
  mark: 'm',
  vmDir: '/home/vm',
  log: '/home/log',
  mounts: [
    ['/home/a b', 'vm'],
    ['/run/x', 'run'],
  ],
  network: 'internet',
  closed: ['192.0.2.2/32', '169.254.0.0/16'],
  qemu: ['-name', 'guest=dev'],
};

const line = (plan: LaunchPlan) => launchCommand(plan).map((word) => (word.includes('\n') ? 'SCRIPT' : word));

describe('what starts a machine', () => {
  it('mounts as root, becomes the user of the machine, and only then makes the namespaces', () => {
    const words = line({ ...PLAN, uid: 1_900_000_000 }).join(' ');
    const order = [
      'SCRIPT vm-agent-launch 1900000000 internet',
      'unshare --mount --propagation private --',
      'SCRIPT vm-agent-mounts /home/a b vm /run/x run --',
      'setpriv --reuid=1900000000 --regid=1900000000 --clear-groups --no-new-privs',
      'unshare --user --map-root-user --net --',
      'SCRIPT vm-agent-inner own 192.0.2.2/32 169.254.0.0/16 --',
      '--bounding-set=-all -- qemu-system-x86_64 -name guest=dev',
    ];
    const places = order.map((part) => words.indexOf(part));
    expect(
      places.every((place) => place >= 0),
      words,
    ).to.equal(true);
    expect(places).to.deep.equal([...places].sort((a, b) => a - b));
  });

  it('makes all namespaces at once for an ordinary user', () => {
    const words = line(PLAN).join(' ');
    expect(words).to.contain(
      'SCRIPT vm-agent-launch - internet unshare --user --map-root-user --net --mount',
    );
    expect(words).to.not.contain('--reuid');
  });

  it('keeps the group of the accelerator, and no other', () => {
    const words = line({ ...PLAN, uid: 1_900_000_000, group: 106 });
    expect(words).to.include('--groups=106').and.not.include('--clear-groups');
  });

  it('needs no routes for an isolated machine', () => {
    expect(line({ ...PLAN, network: 'isolated' })).to.not.include('192.0.2.2/32');
  });

  it('touches neither network nor mounts of a host that has no namespaces', () => {
    const { mounts: _, ...plain } = PLAN;
    const words = line({ ...plain, network: 'isolated' }).join(' ');
    expect(words).to.equal(
      'sh -c SCRIPT vm-agent-launch - isolated sh -c SCRIPT vm-agent-inner host -- qemu-system-x86_64 -name guest=dev',
    );
  });
});
