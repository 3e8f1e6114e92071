/**
 * The part of the runtime disk that the initrd runs, in the place of everything that a real machine boots: it goes
 * into the guest's root and stays there as its first process.
 */
export const STAND_IN_INITRD = `
for dir in dev proc sys run; do mount --move "/$dir" "/root/$dir"; done
ip() { chroot /root /sbin/ip "$@"; }
ip link set lo up
for nic in /root/sys/class/net/e*; do
  nic=\${nic##*/}
  ip address add 10.0.2.15/24 dev "$nic"
  ip link set "$nic" up
  ip route add default via 10.0.2.2
done
exec chroot /root /bin/bash /usr/local/lib/vm-agent/stand-in
`;

/**
 * A program in the place of the agent, first process of a guest. It dials the agent door as the agent does, says who
 * it is, and runs command lines that come back. The power button switches it off. When its memory wakes it learns from
 * the control channel who it is now, and dials anew.
 */
export const STAND_IN_GUEST = `
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/home/agent LANG=C.UTF-8
find_disk() {
  for serial in /sys/block/*/serial; do
    [ "$(cat "$serial" 2> /dev/null)" = "$1" ] || continue
    device=\${serial%/serial}
    echo "/dev/\${device##*/}"
  done
}
field() { sed -n "s/.*\\"$1\\":\\"\\{0,1\\}\\([^,\\"}]*\\).*/\\1/p"; }
boot=$(tr -d '\\0' < "$(find_disk vma-boot)")
name=$(field agentId <<< "$boot")
generation=$(field vmGeneration <<< "$boot")
echo "stand-in of $name generation $generation" > /dev/console
serve() {
  cd "$HOME"
  while :; do
    if exec 3<> /dev/tcp/10.0.2.100/9090; then
      echo "$name $1" >&3
      while read -r line <&3; do
        base64 -d <<< "$line" > /run/command
        sh /run/command < /dev/null > /run/output 2>&1 3>&-
        echo "$? $(base64 -w0 /run/output)" >&3
      done
    fi 2> /dev/null
    exec 3>&-
    sleep 0.2
  done
}
mkdir -p /run
serve "$generation" &
server=$!
modprobe -a button evdev 2> /dev/null
for event in /sys/class/input/event*; do
  [ "$(cat "$event/device/name")" = "Power Button" ] || continue
  device=/dev/input/\${event##*/}
  (dd "if=$device" bs=24 count=1 of=/dev/null 2> /dev/null; sync; echo o > /proc/sysrq-trigger) &
done
for port in /sys/class/virtio-ports/*; do
  [ "$(cat "$port/name")" = org.vm-agent.control ] && control=/dev/\${port##*/}
done
exec 4<> "$control"
while :; do
  while read -r line <&4; do
    case $line in
      *woken*)
        kill -9 "$server"
        serve "$(field vmGeneration <<< "$line")" &
        server=$!
        echo '{"type":"done","of":"woken"}' >&4
        ;;
      *grow*) echo '{"type":"done","of":"grow"}' >&4 ;;
    esac
  done
  sleep 0.1
done
`;
