/** Serials of a machine's virtio disks, by which the guest finds them. */
export const DISK_SERIALS = { root: 'vma-root', runtime: 'vma-runtime', boot: 'vma-boot' } as const;

/** Where the guest sees the runtime disk. */
export const RUNTIME_MOUNT = '/usr/local/lib/vm-agent';

/** Name of the virtio-serial port that the host speaks to the agent on. */
export const CONTROL_PORT = 'org.vm-agent.control';
