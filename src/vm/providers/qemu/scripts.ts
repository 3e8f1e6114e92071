/** Mount point of everything that a machine's QEMU needs, in a mount namespace of its own. */
export const VIEW = '/mnt';
/** Network between QEMU and the host's side of it; from a range that nobody has at home (RFC 2544). */
export const INNER_NETWORK = '198.18.255.0/24';
/** Where that network answers DNS. */
export const INNER_DNS = '198.18.255.3';

/**
 * Starts all processes of a machine and ends at once: the machine, the collector of its console, and for a machine
 * with a network the program that carries it. Arguments: user id or `-`, `internet` or `isolated`,
 * then the command line of the machine. The working directory is the machine's own.
 *
 * The pipe into the network's program is held by QEMU alone, so that it ends with QEMU however that ends; the pipe
 * into the collector likewise. Descriptor 3 tells that the network is up, 4 lets the machine begin, 5 takes its exit
 * code. The console goes to two files in turn, 512 KiB each at most, because a guest may print for ever.
 */
export const LAUNCH_SCRIPT = `
uid=$1 network=$2
shift 2
as_machine() {
  [ "$uid" = - ] || set -- setpriv --reuid "$uid" --regid "$uid" --clear-groups --no-new-privs --inh-caps=-all --bounding-set=-all -- "$@"
  exec "$@"
}
carry() {
  read -r pid || exit 1
  as_machine slirp4netns --configure --mtu=65520 --disable-host-loopback --cidr=${INNER_NETWORK} \\
    --enable-sandbox --enable-seccomp --exit-fd=0 --ready-fd=3 "$pid" tap0 4<&- 5>&- 7>&- >&2
}
collect() {
  as_machine sh -c '
    i=0
    while dd "of=./console.$i" bs=64 count=8192 2>/dev/null && [ -s "./console.$i" ]; do i=$((1 - i)); done
  ' 2>/dev/null 3>&- 4<&- 5>&- 7>&-
}
machine() {
  if [ "$network" = internet ]; then "$@" 8>&7 7>&- 3>&- | carry; else "$@" 8>&7 7>&- 3>&- >/dev/null; fi
}
{ machine "$@" 7>&1 | collect; } &
`;

/**
 * Binds what QEMU needs under {@link VIEW}, whoever may enter the directories above. Arguments: pairs of source and
 * name, then `--`, then what is run. Names are looked up at the host's side of the network.
 */
export const MOUNT_SCRIPT = `
set -eu
mount -t tmpfs -o mode=0755,size=64k tmpfs ${VIEW}
while [ "$1" != -- ]; do
  mkdir "${VIEW}/$2"
  mount --bind "$1" "${VIEW}/$2"
  shift 2
done
shift
if [ -e /etc/resolv.conf ]; then
  echo 'nameserver ${INNER_DNS}' > ${VIEW}/resolv.conf
  mount --bind ${VIEW}/resolv.conf /etc/resolv.conf
fi
exec "$@"
`;

/**
 * The last step before QEMU: closes the host's addresses in its network namespace, tells its process id to the
 * network's program, waits for the word to begin, and starts QEMU. Arguments: `own` or `host` for whose network
 * namespace it is, addresses, `--`, and QEMU's command line. The loopback of an own one carries what QEMU says to the
 * relays. QEMU leaves its standard streams when it is up; descriptor 9 stays.
 */
export const INNER_SCRIPT = `
set -eu
[ "$1" = host ] || ip link set lo up
shift
while [ "$1" != -- ]; do
  ip route replace prohibit "$1"
  shift
done
shift
exec 9>&1
echo "$$"
read -r word <&4
[ "$word" = go ]
rc=0
"$@" >&2 4<&- 5>&- || rc=$?
echo "$rc" >&5
`;
