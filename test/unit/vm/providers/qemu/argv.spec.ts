import { expect } from 'chai';
import { HubError } from '../../../../../src/model/hub-error.js';
import { type QemuPlan, qemuArguments } from '../../../../../src/vm/providers/qemu/argv.js';

const PLAN: QemuPlan = {
  name: 'dev',
  uuid: '6ff8370a-dd9b-4cf2-b286-a4064269d8e4',
  mac: '52:54:00:00:00:01',
  hardware: {
    machine: 'pc-q35-7.2',
    acceleration: 'tcg',
    cpu: 2,
    memoryBytes: 1024 ** 3,
    runtime: '/runtime/agent.ext4',
  },
  view: {
    vm: '/mnt/vm',
    run: '/mnt/run',
    door: '/mnt/door/hub.sock',
    image: '/mnt/image/disk.qcow2',
    runtime: '/mnt/runtime/agent.ext4',
    kernel: '/mnt/image/kernel',
    initrd: '/mnt/image/initrd',
  },
  files: { disk: '/mnt/vm/disk.qcow2', boot: '/mnt/vm/boot.img' },
  open: true,
  paused: false,
  consoleFd: 8,
  sandbox: true,
};

/** Values of an option, in order. */
function valuesOf(plan: QemuPlan, option: string): readonly string[] {
  const words = qemuArguments(plan);
  return words.flatMap((word, i) => (word === option ? [words[i + 1] ?? ''] : []));
}

function reasonOf(plan: QemuPlan): string {
  try {
    qemuArguments(plan);
    return 'it was not refused';
  } catch (err) {
    return HubError.from(err).reason;
  }
}

describe("the command line of a machine's QEMU", () => {
  it('names the machine, its hardware and its system call filter', () => {
    expect(valuesOf(PLAN, '-name')).to.deep.equal(['guest=dev']);
    expect(valuesOf(PLAN, '-machine')).to.deep.equal(['pc-q35-7.2,accel=tcg']);
    expect(valuesOf(PLAN, '-cpu')).to.deep.equal(['Nehalem']);
    expect(valuesOf(PLAN, '-smp')).to.deep.equal(['2']);
    expect(valuesOf(PLAN, '-m')).to.deep.equal(['size=1024M']);
    expect(valuesOf(PLAN, '-sandbox')).to.deep.equal(['on,obsolete=deny,resourcecontrol=deny']);
    expect(qemuArguments(PLAN)).to.include('-daemonize').and.not.include('-S');
  });

  it('takes the processor of the host where the host speeds it up', () => {
    const hardware = { ...PLAN.hardware, acceleration: 'kvm' } as const;
    expect(valuesOf({ ...PLAN, hardware }, '-cpu')).to.deep.equal(['host']);
  });

  it('gives its disks serials, and stops the machine when one cannot be written', () => {
    const disks = valuesOf(PLAN, '-device').filter((device) => device.startsWith('virtio-blk-pci'));
    expect(disks).to.have.length(3);
    for (const disk of disks) expect(disk).to.contain('werror=stop,rerror=stop');
    expect(disks.map((disk) => /serial=([\w-]+)/.exec(disk)?.[1])).to.deep.equal([
      'vma-root',
      'vma-runtime',
      'vma-boot',
    ]);
  });

  it('opens everything but the disk read-only, and says itself what is below the disk', () => {
    const disks = valuesOf(PLAN, '-blockdev').map((text) => JSON.parse(text));
    expect(disks.map((disk) => disk['read-only'] === true)).to.deep.equal([false, true, true]);
    expect(disks[0].backing).to.include({ driver: 'qcow2', 'read-only': true });
    expect(disks[0].backing.file.filename).to.equal('/mnt/image/disk.qcow2');
  });

  it('forwards the agent door alone, and nothing else when the machine is isolated', () => {
    const forward = 'guestfwd=tcp:10.0.2.100:9090-cmd:socat - UNIX-CONNECT:/mnt/door/hub.sock';
    expect(valuesOf(PLAN, '-netdev')).to.deep.equal([`user,id=net,ipv6=off,restrict=off,${forward}`]);
    expect(valuesOf({ ...PLAN, open: false }, '-netdev')).to.deep.equal([
      `user,id=net,ipv6=off,restrict=on,${forward}`,
    ]);
  });

  it('leaves the kernel to images that have a boot loader, and gives those their seed', () => {
    const { kernel: _, initrd: __, ...view } = PLAN.view;
    const cloud = { ...PLAN, view, files: { ...PLAN.files, seed: '/mnt/vm/seed.img' } };
    expect(qemuArguments(cloud)).to.not.include('-kernel').and.not.include('-append');
    expect(valuesOf(cloud, '-blockdev')).to.have.length(4);
  });

  it('lets the kernel do without what an emulated processor does not need, or cannot do in time', () => {
    const line = (acceleration: 'tcg' | 'kvm') =>
      valuesOf({ ...PLAN, hardware: { ...PLAN.hardware, acceleration } }, '-append').join();
    expect(line('tcg')).to.include('mitigations=off').and.include('no_timer_check');
    expect(line('kvm')).to.not.include('mitigations').and.not.include('no_timer_check');
  });

  it('starts paused for memory that is to be loaded', () => {
    expect(qemuArguments({ ...PLAN, paused: true })).to.include('-S');
  });

  it('doubles commas, so that a path ends no option', () => {
    const view = { ...PLAN.view, run: '/mnt/a,b' };
    expect(valuesOf({ ...PLAN, view }, '-chardev')[0]).to.contain('path=/mnt/a,,b/qmp,server=on');
  });

  const bad: readonly (readonly [what: string, plan: QemuPlan])[] = [
    ['a name that is an option', { ...PLAN, name: '-snapshot' }],
    ['a name with a comma', { ...PLAN, name: 'a,file=/etc/shadow' }],
    ['a name with a NUL', { ...PLAN, name: 'a\0b' }],
    ['an id that is none', { ...PLAN, uuid: 'x,y' }],
    ['a network address that is none', { ...PLAN, mac: '52:54:00:00:00:01,romfile=/x' }],
    ['a relative path', { ...PLAN, files: { ...PLAN.files, disk: 'disk.qcow2' } }],
    ['a path with a line break', { ...PLAN, view: { ...PLAN.view, run: '/mnt/\nrun' } }],
    ['a door that a shell would read otherwise', { ...PLAN, view: { ...PLAN.view, door: '/mnt/a b' } }],
    ['a door with a comma', { ...PLAN, view: { ...PLAN.view, door: '/mnt/a,EXEC:sh' } }],
  ];
  for (const [what, plan] of bad) {
    it(`refuses ${what}`, () => {
      expect(reasonOf(plan)).to.equal('INVALID_FIELD');
    });
  }
});
